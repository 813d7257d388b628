"""How long to tune: epochs doubled while cross-validation finds that better; halved where twice as many are worse.

Better is what is written for held-out prompts, where models write answers (`metrics/closeness.py`), else the loss.

Before that, where rows have phrases to exchange (`augment/phrases.py`), the method's own length is tried with them
exchanged, and lengths are then sought for the better of the two.

Each length is a candidate like any other, judged on the same resamples with a schedule of its own: a rate that falls
to zero over six epochs is no shorter cut of one that falls over twelve. What is chosen is chosen again inside each
split (`study/ladder.py`), so that the choice of epochs flatters no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fewtune.augment.phrases import PhraseExchange
from fewtune.data.base import Example
from fewtune.recipe import Recipe
from fewtune.study.rung import Rung

LEAST, MOST = 0.5, 64.0
"""Epochs beyond which nobody looks."""
EXCHANGED = 0.9
"""Share of the passes in which phrases are exchanged, where that is tried."""
WORTH_EXCHANGING = 0.2
"""Share of the rows with phrases to exchange from which on it is tried."""


def to_try(tried: Sequence[Rung], examples: Sequence[Example]) -> Recipe | None:
    """What to try next of a method; None when the search is over.

    Parameters
    ----------
    tried : of this method, in this order.
    examples : all rows of the study.
    """
    first = tried[0].recipe
    if len(tried) == 1 and tried[0].score is not None and _can_exchange(first, examples):
        return replace(first, method=replace(first.method, exchange=EXCHANGED))  # type: ignore[call-arg]
    if len(tried) > 1 and not _exchanges(tried[0]) and _exchanges(tried[1]):
        plain, exchanged = compared(tried[:2])
        better = tried[1] if exchanged is not None and (plain is None or exchanged > plain) else tried[0]
        tried = [better, *(rung for rung in tried[2:] if _exchanges(rung) == _exchanges(better))]
    return longer_or_shorter(tried)


def _can_exchange(recipe: Recipe, examples: Sequence[Example]) -> bool:
    if recipe.method.task != "generation" or getattr(recipe.method, "exchange", None) != 0:
        return False
    exchange = PhraseExchange.fit(examples)
    return sum(map(exchange.changes, examples)) >= WORTH_EXCHANGING * len(examples)


def _exchanges(rung: Rung) -> bool:
    return bool(getattr(rung.recipe.method, "exchange", 0))


def compared(tried: Sequence[Rung]) -> list[float | None]:
    """What settings of one method are compared by, higher is better: what they wrote, where all of them did."""
    if any(rung.closeness is None and rung.score is not None for rung in tried):
        return [rung.score for rung in tried]
    return [rung.closeness for rung in tried]


def longer_or_shorter(tried: Sequence[Rung]) -> Recipe | None:
    """The length to try next, after those of one method that were tried in this order; None when the search is over."""
    first = tried[0].recipe
    if first.method.task == "classification" or not hasattr(first.method, "epochs"):
        return None
    scores = {_epochs(rung.recipe): score for rung, score in zip(tried, compared(tried), strict=True)}
    if any(score is None for score in scores.values()):
        return None
    known = {epochs: score for epochs, score in scores.items() if score is not None}
    best = max(known, key=lambda epochs: (round(known[epochs], 9), -epochs))
    for wanted in (2 * best, best / 2):
        # Between two lengths that were tried nothing is looked for: they differ little.
        if wanted not in known and LEAST <= wanted <= MOST:
            return replace(first, method=replace(first.method, epochs=wanted))  # type: ignore[call-arg]
    return None


def _epochs(recipe: Recipe) -> float:
    return float(recipe.method.epochs)  # type: ignore[attr-defined]
