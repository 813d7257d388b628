"""What a strategy of augmentation is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from fewtune.data.base import Example


class Strategy(ABC):
    """Makes rows from rows. It learns from the rows of one training part, so nothing held out can come back."""

    @classmethod
    @abstractmethod
    def fit(cls, examples: Sequence[Example]) -> Self:
        """Learn what there is to make rows from."""

    @abstractmethod
    def changes(self, example: Example) -> bool:
        """Whether other rows can be made of this one."""

    @abstractmethod
    def vary(self, example: Example, rng: np.random.Generator) -> Example:
        """One row made of this one, or the row itself where none could be made."""

    def augment(self, examples: Sequence[Example], n: int, seed: int) -> list[Example]:
        """Up to `n` rows made of each of those that can be changed, no two the same, each with its parent named.

        Their ids are the parent's with a number behind; they stand in the parent's group.
        """
        made = []
        for place, example in enumerate(examples):
            if not self.changes(example):
                continue
            rng = np.random.default_rng([seed, place])
            drawn = (self.vary(example, rng) for _ in range(n))
            different = {(one.text, one.completion): one for one in drawn if one.origin == "augmented"}
            made += [_numbered(one, example, number) for number, one in enumerate(different.values(), start=1)]
        return made


def _numbered(made: Example, parent: Example, number: int) -> Example:
    return replace(made, id=f"{parent.id}~{number}", parent=parent.id)
