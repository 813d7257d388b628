"""Toy rows to write: small orders whose sentences follow from them, in the words of the tiny writers' tokenizers."""

from __future__ import annotations

from itertools import product

from fewtune.data.base import Dataset, Example

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
