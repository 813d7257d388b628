"""ChatML: each turn between `<|im_start|>` and `<|im_end|>`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fewtune.data.base import Message
from fewtune.data.templates.base import Layout


class ChatML(Layout):
    """Turns in ChatML, whatever the tokenizer's own template."""

    name = "chatml"
    title = "ChatML"

    def prompt(self, messages: Sequence[Message], tokenizer: Any) -> str:
        """Every turn, then the opening of the assistant's."""
        turns = "".join(f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n" for message in messages)
        return f"{turns}<|im_start|>assistant\n"

    def answer(self, completion: str, tokenizer: Any) -> str:
        """Closed as every turn is."""
        return f"{completion}<|im_end|>\n"
