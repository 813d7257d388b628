"""Preference rows as tokens, in the template of the first stage.

Legend: T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewtune.backbones.language.encode import Encoded
from fewtune.data.base import Dataset, Example
from fewtune.data.preferences import WANTED, rejected_of
from fewtune.errors import DataError

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.data.templates.base import Template


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt."""

    chosen: Encoded
    rejected: Encoded


@dataclass(frozen=True)
class Single:
    """One answer, and whether it is wanted."""

    answer: Encoded
    wanted: bool


def pairs_of(examples: Sequence[Example], model: LanguageModel, template: Template) -> list[Pair]:
    """[N] both answers of each row."""
    return [
        Pair(_coded(example, model, template), _coded(rejected_of(example), model, template)) for example in examples
    ]


def singles_of(examples: Sequence[Example], model: LanguageModel, template: Template) -> list[Single]:
    """Every answer by itself; a pair is two of them."""
    found = []
    for example in examples:
        wanted = example.rejected is not None or example.label == WANTED
        found.append(Single(_coded(example, model, template), wanted))
        if example.rejected is not None:
            found.append(Single(_coded(rejected_of(example), model, template), False))
    return found


def _coded(example: Example, model: LanguageModel, template: Template) -> Encoded:
    return model.encode(example, template, turns="last", overlong="cut")


def check_lengths(dataset: Dataset, model: LanguageModel, template: Template | None) -> None:
    """Raises DataError, with file and row, where an answer does not fit the context behind its whole prompt.

    Cutting would put the two answers behind different prompts: what they cost could not be compared.
    """
    asked = model.settle(template)
    for example in dataset:
        answers = [example, *([] if example.rejected is None else [rejected_of(example)])]
        for name, answer in zip(("chosen", "rejected"), answers, strict=False):
            try:
                row = _coded(answer, model, asked)
            except DataError as error:
                raise type(error)(error.what, file=dataset.source, row=error.row, remedy=error.remedy) from error
            if row.cut or row.lost:
                tokens = row.tokens + row.cut + row.lost
                said = f"{name} answer" if len(answers) > 1 else "answer"
                what = (
                    f"Prompt and {said} are {tokens} tokens long, and the context of {model.name} is {model.context}."
                )
                remedy = "Shorten them, take the row out, or start from a model with a longer context."
                raise DataError(what, file=dataset.source, row=example.row or None, remedy=remedy)


__all__ = ["Pair", "Single", "check_lengths", "pairs_of", "singles_of"]
