"""A rung: one candidate of the ladder and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewtune.recipe import Recipe
from fewtune.study.evaluator import Judged


@dataclass(frozen=True)
class Rung:
    """One place on the ladder: judged, or skipped and why."""

    recipe: Recipe
    judged: Judged | None = None
    reason: str = ""

    @property
    def score(self) -> float | None:
        """The mean of what candidates are compared by, higher is better; None where it was not judged."""
        return None if self.judged is None else float(np.concatenate(self.judged.oof.row_scores).mean())
