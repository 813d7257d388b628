"""Majority class: says the commonest label whatever the text. What every other method must beat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fewtune.methods.base import ClosedFormMethod, Fitted, FloatArray, Material

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder


@dataclass(frozen=True)
class Majority(ClosedFormMethod):
    """Probabilities are the class shares of the training rows, with one row added to each class (Laplace)."""

    name: ClassVar[str] = "majority"
    title: ClassVar[str] = "Majority class"
    rung: ClassVar[int] = 0
    reads_text: ClassVar[bool] = False

    def fit(self, material: Material) -> Fitted:
        """Count labels."""
        counts_C = np.bincount(material.labels, minlength=len(material.classes)) + 1.0
        return FittedMajority(counts_C / counts_C.sum())

    @classmethod
    def load(cls, folder: Path, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
        """Read the shares."""
        return FittedMajority(np.asarray(json.loads((folder / "majority.json").read_text()), dtype=np.float64))


class FittedMajority(Fitted):
    """The class shares."""

    def __init__(self, shares_C: FloatArray) -> None:
        self.shares_C = shares_C

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        """The same shares for every text."""
        return np.tile(self.shares_C, (len(texts), 1))

    def save(self, folder: Path) -> None:
        """Write the shares as JSON."""
        (folder / "majority.json").write_text(json.dumps(self.shares_C.tolist()))
