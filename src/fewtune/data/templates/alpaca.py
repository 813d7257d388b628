"""The prompt that the Alpaca data were made for (Taori and others 2023), which many tuned models still expect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fewtune.data.base import Message
from fewtune.data.templates.base import Layout

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
)


class Alpaca(Layout):
    """`### Instruction:`, `### Input:`, `### Response:`."""

    name = "alpaca"
    title = "Alpaca"

    def prompt(self, messages: Sequence[Message], tokenizer: Any) -> str:
        """The system message is the instruction and the rest its input; alone, the user's message is the instruction.

        Earlier turns of a conversation stand in the input under their role, as the format knows one turn only.
        """
        asked = [message.content for message in messages if message.role == "system"]
        rest = [message for message in messages if message.role != "system"]
        said = rest[0].content if len(rest) == 1 else "\n".join(f"{one.role}: {one.content}" for one in rest)
        if not asked:
            return f"{WITHOUT_INPUT}\n\n### Instruction:\n{said}\n\n### Response:\n"
        instruction = "\n\n".join(asked)
        return f"{WITH_INPUT}\n\n### Instruction:\n{instruction}\n\n### Input:\n{said}\n\n### Response:\n"

    def answer(self, completion: str, tokenizer: Any) -> str:
        """As it is."""
        return completion
