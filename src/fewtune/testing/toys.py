"""Toy rows whose classes can be learned from their words, in a vocabulary small enough for a tiny backbone."""

from __future__ import annotations

import numpy as np

from fewtune.data.base import Dataset, Example

CLASSES = {
    "animals": ("dog", "cat", "horse", "cow", "sheep", "goat", "hen", "pig"),
    "colours": ("red", "blue", "green", "white", "black", "brown", "pink", "grey"),
    "tools": ("saw", "drill", "hammer", "pliers", "file", "wrench", "chisel", "clamp"),
}
FILLERS = ("the", "a", "is", "was", "here", "there", "and", "with", "very", "old", "new", "one", "two", "my", "your")
WORDS = (*CLASSES, *(word for words in CLASSES.values() for word in words), *FILLERS)
"""The whole vocabulary."""


def toy_texts(label: str, count: int, *, seed: int = 0, words: int = 6) -> list[str]:
    """Texts of one class: half of the words are the class's own, none repeats another text."""
    rng = np.random.default_rng([seed, list(CLASSES).index(label)])
    texts: dict[str, None] = {}
    while len(texts) < count:
        own = rng.choice(CLASSES[label], size=words // 2, replace=False)
        rest = rng.choice(FILLERS, size=words - words // 2, replace=False)
        texts[" ".join(rng.permutation([*own, *rest]))] = None
    return list(texts)


def toy_dataset(rows_per_class: int = 12, *, classes: int = 3, seed: int = 0, shuffled: bool = False) -> Dataset:
    """Rows of `classes` classes in turn; `shuffled` deals the labels out at random, so that nothing can be learned."""
    names = list(CLASSES)[:classes]
    columns = [toy_texts(name, rows_per_class, seed=seed) for name in names]
    texts = [column[row] for row in range(rows_per_class) for column in columns]
    labels = names * rows_per_class
    if shuffled:
        labels = [labels[place] for place in np.random.default_rng(seed).permutation(len(labels))]
    rows = enumerate(zip(texts, labels, strict=True), start=1)
    return Dataset(tuple(Example(text, label, id=str(row), row=row) for row, (text, label) in rows), source="toys")
