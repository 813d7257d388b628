"""A rung: one candidate of the ladder and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fewtune.metrics.base import mean_score
from fewtune.recipe import Recipe
from fewtune.study.evaluator import Judged


@dataclass(frozen=True)
class Rung:
    """One place on the ladder: judged, or skipped and why."""

    recipe: Recipe
    judged: Judged | None = None
    reason: str = ""

    @cached_property
    def closeness(self) -> float | None:
        """How close what it wrote for held-out prompts comes to what was given, 0 to 100; None where it wrote none."""
        parts = () if self.judged is None else self.judged.oof.written or ()
        told = [part.closeness for part in parts if part.closeness is not None]
        return mean_score(told) if told else None

    @property
    def score(self) -> float | None:
        """The mean of what candidates are compared by, higher is better; None where it was not judged."""
        return None if self.judged is None else self.judged.oof.score
