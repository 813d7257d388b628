"""How long to tune: epochs doubled while the cross-validated loss falls; halved where the first doubling raised it.

Each length is a candidate like any other, judged on the same resamples with a schedule of its own: a rate that falls
to zero over six epochs is no shorter cut of one that falls over twelve. What is chosen is chosen again inside each
split (`study/ladder.py`), so that the choice of epochs flatters no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fewtune.recipe import Recipe
from fewtune.study.rung import Rung

LEAST, MOST = 0.5, 64.0
"""Epochs beyond which nobody looks."""


def longer_or_shorter(tried: Sequence[Rung]) -> Recipe | None:
    """The length to try next, after those of one method that were tried in this order; None when the search is over."""
    first = tried[0].recipe
    if first.method.task == "classification" or not hasattr(first.method, "epochs"):
        return None
    scores = {_epochs(rung.recipe): rung.score for rung in tried}
    if any(score is None for score in scores.values()):
        return None
    known = {epochs: score for epochs, score in scores.items() if score is not None}
    best = max(known, key=lambda epochs: (round(known[epochs], 9), -epochs))
    for wanted in (2 * best, best / 2):
        # Between two lengths that were tried nothing is looked for: their losses differ little.
        if wanted not in known and LEAST <= wanted <= MOST:
            return replace(first, method=replace(first.method, epochs=wanted))  # type: ignore[call-arg]
    return None


def _epochs(recipe: Recipe) -> float:
    return float(recipe.method.epochs)  # type: ignore[attr-defined]
