"""A rung: one candidate of the ladder and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fewtune.metrics.tempered import tempered_scores
from fewtune.recipe import Recipe
from fewtune.study.evaluator import Judged


@dataclass(frozen=True)
class Rung:
    """One place on the ladder: judged, or skipped and why."""

    recipe: Recipe
    judged: Judged | None = None
    reason: str = ""

    @cached_property
    def tempered(self) -> float | None:
        """`score` at the temperatures that suit it (`metrics/tempered.py`); None where those were not looked at."""
        oof = None if self.judged is None else self.judged.oof
        if oof is None or oof.written is None or any(part.tempered is None for part in oof.written):
            return None
        return float(np.concatenate(tempered_scores(oof.written, oof.held_out)).mean())

    @property
    def score(self) -> float | None:
        """The mean of what candidates are compared by, higher is better; None where it was not judged."""
        return None if self.judged is None else float(np.concatenate(self.judged.oof.row_scores).mean())
