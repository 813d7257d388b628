"""The model's own chat template, as its tokenizer holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fewtune.data.base import Message
from fewtune.data.templates.base import Layout
from fewtune.errors import UsageError

_MARK = "\u2063answer\u2063"
"""Stands for the answer while the template's ending is looked for; no text holds it."""


class Chat(Layout):
    """`tokenizer.apply_chat_template`."""

    name = "chat"
    title = "The model's own chat template"

    def prompt(self, messages: Sequence[Message], tokenizer: Any) -> str:
        """The conversation, and the opening of the assistant's turn."""
        return _applied(messages, tokenizer, add_generation_prompt=True)

    def answer(self, completion: str, tokenizer: Any) -> str:
        """The answer and what the template puts after one."""
        turns = [Message("user", "x"), Message("assistant", _MARK)]
        _, _, ending = _applied(turns, tokenizer, add_generation_prompt=False).partition(_MARK)
        return completion + ending


def _applied(messages: Sequence[Message], tokenizer: Any, *, add_generation_prompt: bool) -> str:
    from jinja2 import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        name = getattr(tokenizer, "name_or_path", "") or "This backbone"
        raise UsageError(f"{name} has no chat template of its own. Take another template: chatml, alpaca, instruction.")
    tries = [list(messages), _folded(messages)]
    for number, turns in enumerate(tries):
        plain = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            found = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=add_generation_prompt)
            return str(found)
        except TemplateError as error:
            if number + 1 == len(tries):
                raise UsageError(f"The model's chat template refuses this conversation: {error}.") from error
    raise AssertionError("one of the tries returns or raises")


def _folded(messages: Sequence[Message]) -> list[Message]:
    """The system's message at the head of the first user's: some templates know no system."""
    asked = "\n\n".join(turn.content for turn in messages if turn.role == "system")
    rest = [turn for turn in messages if turn.role != "system"]
    if not asked or not rest:
        return rest or list(messages)
    return [Message(rest[0].role, f"{asked}\n\n{rest[0].content}"), *rest[1:]]
