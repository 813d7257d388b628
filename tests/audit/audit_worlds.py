"""Grounds made of points: each text is the name of a vector, drawn around a centre of its kind."""

from __future__ import annotations

import itertools

import numpy as np

from fewtune.audit.base import Ground
from fewtune.data.base import Dataset, Example

WIDTH = 24


class World:
    """Texts whose vectors are known. `rows(3, kind=0)` makes three rows around the first centre."""

    def __init__(self, *, spread: float = 0.5, seed: int = 0) -> None:
        self.rng, self.spread = np.random.default_rng(seed), spread
        self.vectors: dict[str, np.ndarray] = {}
        self.number = itertools.count(1)

    def text(self, kind: int, *, spread: float | None = None) -> str:
        """A new text of a kind."""
        vector = np.eye(WIDTH)[kind] + (spread or self.spread) * self.rng.normal(size=WIDTH) / np.sqrt(WIDTH)
        text = f"text {next(self.number)}"
        self.vectors[text] = (vector / np.linalg.norm(vector)).astype(np.float32)
        return text

    def name(self, text: str, kind: int) -> str:
        """A text whose vector is a centre itself."""
        self.vectors[text] = np.eye(WIDTH, dtype=np.float32)[kind]
        return text

    def rows(self, count: int, kind: int, label: str | None = None) -> list[tuple[str, str | None]]:
        return [(self.text(kind), label) for _ in range(count)]

    def embed(self, texts):
        return np.stack([self.vectors[text] for text in texts]) if len(texts) else np.zeros((0, WIDTH), np.float32)

    def ground(self, train, test=None, unlabelled=None, **more) -> Ground:
        return Ground(
            rows_of(train),
            None if test is None else rows_of(test),
            None if unlabelled is None else rows_of(unlabelled),
            embed=self.embed,
            **more,
        )


def rows_of(rows) -> Dataset:
    return Dataset(tuple(Example(text, label, id=f"r{n}", row=n) for n, (text, label) in enumerate(rows, 1)))
