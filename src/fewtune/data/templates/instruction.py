"""Instruction, text and answer under names of their own, for models that know no chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fewtune.data.base import Message
from fewtune.data.templates.base import Layout

_NAMES = {"system": "Instruction", "user": "Text", "assistant": "Answer"}


class Instruction(Layout):
    """`Instruction: … Text: … Answer:`."""

    name = "instruction"
    title = "Instruction, text, answer"

    def prompt(self, messages: Sequence[Message], tokenizer: Any) -> str:
        """Each message under its name; the last name is the answer's."""
        said = [f"{_NAMES.get(message.role, message.role.title())}: {message.content}" for message in messages]
        return "\n".join([*said, "Answer:"])

    def answer(self, completion: str, tokenizer: Any) -> str:
        """On the same line."""
        return f" {completion}"
