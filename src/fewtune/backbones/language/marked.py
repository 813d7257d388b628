"""A conversation as one text, with the character spans of the answers in it: what the loss will count.

Found in this order: by the template's own `{% generation %}` marks; by rendering the conversation up to each answer and
checking that this is a prefix of the whole; else only the last answer, which always stands at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fewtune.data.base import Message
from fewtune.data.templates import Template, layout_class
from fewtune.data.templates.base import Layout
from fewtune.data.templates.chat import Chat
from fewtune.errors import UsageError

Turns = Literal["all", "last"]
"""Which answers of a conversation count: every one, or only the last."""
ASSISTANT = "assistant"


@dataclass(frozen=True)
class Marked:
    """A text and its counted spans, in order, apart from one another."""

    text: str
    spans: tuple[tuple[int, int], ...]
    all_found: bool = True
    """False where earlier answers should count too but could not be found in the text."""


def marked(said: Sequence[Message], template: Template, tokenizer: Any, turns: Turns) -> Marked:
    """The whole of a conversation that ends in an answer.

    Raises
    ------
    UsageError : the layout or the model's chat template refuses the conversation.
    """
    assert said[-1].role == ASSISTANT
    layout = layout_class(template.layout)()
    last = _last(said, layout, tokenizer)
    answers = [place for place, turn in enumerate(said) if turn.role == ASSISTANT]
    if turns == "last" or len(answers) == 1:
        return last
    found = _by_marks(said, layout, tokenizer, len(answers), last) or _by_prefixes(said, layout, tokenizer, last)
    if found is None:
        return Marked(last.text, last.spans, all_found=False)
    # An earlier answer without words, such as one that only calls a tool, would teach the model to say nothing.
    spoken = [bool(said[place].content.strip()) for place in answers[:-1]]
    return Marked(found.text, (*(span for span, one in zip(found.spans, spoken, strict=False) if one), found.spans[-1]))


def ending(layout: Layout, tokenizer: Any) -> str:
    """What the layout puts after an answer to end it, outer spaces aside; nothing where it does not mark the end."""
    return layout.answer("", tokenizer).strip()


def _last(said: Sequence[Message], layout: Layout, tokenizer: Any) -> Marked:
    prompt = layout.prompt(said[:-1], tokenizer)
    text = (prompt + layout.answer(said[-1].content, tokenizer)).removesuffix(_after(layout, tokenizer))
    return Marked(text, ((len(prompt), len(text)),))


def _after(layout: Layout, tokenizer: Any) -> str:
    """Spaces and line ends after the mark that ends an answer: nobody needs to learn to write them."""
    whole = layout.answer("", tokenizer)
    return whole[len(whole.rstrip()) :] if whole.strip() else ""


def _by_marks(said: Sequence[Message], layout: Layout, tokenizer: Any, answers: int, last: Marked) -> Marked | None:
    """By `{% generation %}`, where the template has it and agrees with how an answer is asked for."""
    chat_template = getattr(tokenizer, "chat_template", None)
    if not isinstance(layout, Chat) or not isinstance(chat_template, str) or "generation %}" not in chat_template:
        return None
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    plain = [{"role": turn.role, "content": turn.content} for turn in said]
    try:
        texts, found = render_jinja_template(
            conversations=[plain],
            chat_template=chat_template,
            return_assistant_tokens_mask=True,
            **tokenizer.special_tokens_map,
        )
    except TemplateError:
        return None
    text, end = texts[0], ending(layout, tokenizer)
    if not text.startswith(last.text) or len(found[0]) != answers:
        return None
    text = last.text
    spans = [(start, _with_ending(text, min(stop, len(text)), end)) for start, stop in found[0]]
    # The last answer begins where generation begins, whatever the marks say.
    return Marked(text, (*spans[:-1], last.spans[0]))


def _with_ending(text: str, stop: int, end: str) -> int:
    """The span's end with the mark that ends an answer, which some templates leave outside of theirs."""
    if not end or text[:stop].rstrip().endswith(end):
        return len(text[:stop].rstrip()) if end else stop
    after = text[stop:]
    gap = len(after) - len(after.lstrip())
    return stop + gap + len(end) if after[gap:].startswith(end) else stop


def _by_prefixes(said: Sequence[Message], layout: Layout, tokenizer: Any, last: Marked) -> Marked | None:
    """By rendering up to each answer; None where that is no prefix of the whole."""
    after, spans = _after(layout, tokenizer), []
    for place, turn in enumerate(said[:-1]):
        if turn.role != ASSISTANT:
            continue
        try:
            asked = layout.prompt(said[:place], tokenizer)
            told = (asked + layout.answer(turn.content, tokenizer)).removesuffix(after)
        except UsageError:  # some templates refuse a beginning that they take as part of the whole
            return None
        if not last.text.startswith(told):
            return None
        spans.append((len(asked), len(told)))
    return Marked(last.text, (*spans, *last.spans))
