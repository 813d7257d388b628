"""Verbalisers at work: how a text is put to a model that writes so that what follows is a label.

The label's words are those of the template (`--words`), else the class's name as a person would say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fewtune.data.base import Example
from fewtune.data.pairs import NO_SEPARATOR, PAIR
from fewtune.data.templates.base import PLAIN, Template
from fewtune.errors import UsageError

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel

LISTED = "Choose the one label that fits the text: {}."
UNLISTED = "Say which class the text belongs to."
MOST_LISTED = 0.25
"""Share of the context that a list of all labels may take; with more of them it is left out."""
LEAST_ROOM = 16
"""Tokens of the context that must be left for a text."""


def label_template(asked: Template, model: LanguageModel, classes: Sequence[str]) -> Template:
    """The template as asked for; where only its words or prefix were, the model's own layout and an instruction.

    The instruction names the labels, in words. What comes out is the same when it is put in.
    """
    if asked.layout != PLAIN.layout or asked.instruction:
        return model.settle(asked)
    own = model.settle(None).layout
    words = asked.words_of(classes)
    layout = "instruction" if own == PLAIN.layout else own
    return replace(asked, layout=layout, instruction=_instruction(words, model))


def _instruction(words: Sequence[str], model: LanguageModel) -> str:
    listed = LISTED.format(", ".join(words))
    tokens = len(model.tokenizer(listed, add_special_tokens=False, verbose=False)["input_ids"])
    return listed if tokens <= MOST_LISTED * model.context else UNLISTED


def label_words(template: Template, classes: Sequence[str]) -> list[str]:
    """[C] what is written for each class. Raises UsageError where two classes have the same words."""
    words = template.words_of(classes)
    _refuse_equal(words, words, classes, "are both called {}")
    return words


def check_labels(template: Template, model: LanguageModel, classes: Sequence[str]) -> None:
    """Raises UsageError for labels that the model cannot tell apart, or that leave no room for a text."""
    from fewtune.backbones.decoding.score import answer_ids

    words = label_words(template, classes)
    around = len(model.encode_prompt(Example("a"), replace(template, words=())).ids)
    for name, said in zip(classes, words, strict=True):
        tokens = len(model.tokenizer(said, add_special_tokens=False, verbose=False)["input_ids"])
        if tokens + around + LEAST_ROOM > model.context:
            raise UsageError(
                f"The words of the label {_short(name)} are {tokens} tokens long, which leaves no room for a text in "
                f"{model.name}'s context of {model.context} tokens. Give it shorter words: --words CLASS=WORDS."
            )
    tokens_of = [tuple(ids) for ids in answer_ids(Example("a"), words, model, template, ended=True)]
    _refuse_equal(tokens_of, words, classes, f"are the same to {model.name}: {{}}")


def _refuse_equal(keys: Sequence[object], words: Sequence[str], classes: Sequence[str], what: str) -> None:
    first: dict[object, str] = {}
    for key, name, said in zip(keys, classes, words, strict=True):
        if key in first:
            raise UsageError(
                f"The labels {_short(first[key])} and {_short(name)} {what.format(_short(said))}. A model that writes "
                "could not tell them apart: give each words of its own with --words CLASS=WORDS."
            )
        first[key] = name


def as_example(text: str, template: Template, label: str | None = None) -> Example:
    """A text to be labelled, with its label's words where they are known."""
    separator = NO_SEPARATOR if template.separator is None else template.separator
    return Example(separator.join(text.split(PAIR)), completion=label)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")
