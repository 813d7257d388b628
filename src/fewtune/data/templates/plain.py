"""Nothing around the text: contents one under the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fewtune.data.base import Message
from fewtune.data.templates.base import Layout


class Plain(Layout):
    """The null layout."""

    name = "plain"
    title = "Plain text"

    def prompt(self, messages: Sequence[Message], tokenizer: Any) -> str:
        """The contents, a blank line between them."""
        return "\n\n".join(message.content for message in messages)

    def answer(self, completion: str, tokenizer: Any) -> str:
        """On a line of its own."""
        return f"\n{completion}"
