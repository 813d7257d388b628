"""Toy rows to write: small orders whose sentences follow from them, in the words of the tiny writers' tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from fewtune.data.base import Dataset, Example
from fewtune.methods.base import Material

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.data.templates.base import Template

NAMES = ("The Mill", "Blue Spice", "red cat", "green dog")
FOODS = ("Italian", "French")
PLACES = ("riverside", "blue")


def writer_toys(rows: int = 16) -> Dataset:
    """Prompts of slots, and the sentence that says them."""
    asked = list(product(NAMES, FOODS, PLACES))[:rows]
    examples = tuple(
        Example(
            f"name[{name}], food[{food}], area[{place}]",
            id=str(row),
            row=row,
            completion=f"{name} serves {food} food at the {place}.",
        )
        for row, (name, food, place) in enumerate(asked, start=1)
    )
    return Dataset(examples, task="generation", source="writer toys", text_column="prompt", label_column="completion")


def material_of(
    model: LanguageModel,
    examples: Sequence[Example] | None = None,
    seed: int = 3,
    template: Template | None = None,
) -> Material:
    """What a run on `examples` (the toys where none are given) learns from, put to `model` by its own template."""
    examples = writer_toys().examples if examples is None else examples
    return Material(
        texts=[example.prompt for example in examples],
        labels=np.zeros(len(examples), dtype=np.int64),
        classes=(),
        encoder=None,
        seed=seed,
        examples=list(examples),
        language_model=model,
        template=template or model.settle(),
    )
