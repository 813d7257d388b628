"""How long to tune: longer where that may be worth it, each length a candidate.

Contrastive tuning of an encoder is tried four times as long where its loss has not settled: at 64 rows a class that
brought two points on the mean where the loss had ended above a third of its first, nothing where below (`LAB.md`).

Of models that write, epochs are doubled while cross-validation finds that better; halved where twice as many are worse.
Better is what is written for held-out prompts, where models write answers (`metrics/closeness.py`), else the loss. What
is written says little of so few rows, and the loss turns first: while that falls, longer is tried all the same.

Before that, where rows have phrases to exchange (`augment/phrases.py`), the method's own length is tried with them
exchanged, and lengths are then sought for the one of less loss: of one length, that is the finer measure.

Each length is judged on the same resamples with a schedule of its own: a rate that falls to zero over six epochs is no
shorter cut of one that falls over twelve. What is chosen is chosen again inside each split (`study/ladder.py`), so that
the choice of epochs flatters no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fewtune.augment.phrases import PhraseExchange
from fewtune.data.base import Example
from fewtune.methods.base import TrainingLog, TunedMethod
from fewtune.recipe import Recipe
from fewtune.study.evaluator import Judged
from fewtune.study.rung import Rung

LEAST, MOST = 0.5, 128.0
"""Epochs beyond which nobody looks."""
EXCHANGED = 0.9
"""Share of the passes in which phrases are exchanged, where that is tried."""
WORTH_EXCHANGING = 0.2
"""Share of the rows with phrases to exchange from which on it is tried."""
SETTLED = 1 / 3
"""A loss that has come down to this share of what it was at first has little more to give."""
ENDS = 5
"""Losses at either end of a run that are averaged: each is of one batch."""
WORTH_LONGER = 16
"""Rows a class from which on longer is tried; with fewer the loss stays high only where classes are many, and on 77 of
them, 8 rows each, it cost four times as much and brought nothing."""


def to_try(tried: Sequence[Rung], examples: Sequence[Example]) -> Recipe | None:
    """What to try next of a method; None when the search is over.

    Parameters
    ----------
    tried : of this method, in this order.
    examples : all rows of the study.
    """
    first = tried[0].recipe
    if first.method.task == "classification":
        return _longer(tried, examples)
    if len(tried) == 1 and tried[0].score is not None and _can_exchange(first, examples):
        return replace(first, method=replace(first.method, exchange=EXCHANGED))  # type: ignore[call-arg]
    if len(tried) > 1 and not _exchanges(tried[0]) and _exchanges(tried[1]):
        better = tried[1] if _score(tried[1]) > _score(tried[0]) else tried[0]
        tried = [better, *(rung for rung in tried[2:] if _exchanges(rung) == _exchanges(better))]
    return longer_or_shorter(tried)


def _longer(tried: Sequence[Rung], examples: Sequence[Example]) -> Recipe | None:
    """The same for longer, once, of a method that can be and whose loss has not settled."""
    first = tried[0]
    method = first.recipe.method
    if len(tried) > 1 or first.judged is None or not isinstance(method, TunedMethod):
        return None
    longer = method.longer()
    few = len(examples) < WORTH_LONGER * len({example.label for example in examples})
    return None if longer is None or few or settled(first.judged) else replace(first.recipe, method=longer)


def settled(judged: Judged) -> bool:
    """Whether the training loss, the mean of all runs, came down to `SETTLED` of what it was at first."""
    logs = [outcome.log for outcome in judged.outcomes if outcome.log is not None and outcome.log.train_loss]
    return not logs or float(np.mean([_share_left(log) for log in logs])) <= SETTLED


def _share_left(log: TrainingLog) -> float:
    first, last = np.mean(log.train_loss[:ENDS]), np.mean(log.train_loss[-ENDS:])
    return float(last / first) if first > 0 else 0.0


def _can_exchange(recipe: Recipe, examples: Sequence[Example]) -> bool:
    if recipe.method.task != "generation" or getattr(recipe.method, "exchange", None) != 0:
        return False
    exchange = PhraseExchange.fit(examples)
    return sum(map(exchange.changes, examples)) >= WORTH_EXCHANGING * len(examples)


def _exchanges(rung: Rung) -> bool:
    return bool(getattr(rung.recipe.method, "exchange", 0))


def _score(rung: Rung) -> float:
    return -float("inf") if rung.score is None else rung.score


def longer_or_shorter(tried: Sequence[Rung]) -> Recipe | None:
    """The length to try next, after those of one method that were tried in this order; None when the search is over."""
    first = tried[0].recipe
    if not hasattr(first.method, "epochs") or any(rung.score is None for rung in tried):
        return None
    known = {_epochs(rung.recipe) for rung in tried}
    scores, texts = [_score(rung) for rung in tried], [rung.closeness for rung in tried]
    cheapest = _best(tried, scores)
    best = cheapest if None in texts else _best(tried, texts)
    for wanted in (2 * max(best, cheapest), best / 2):
        # Between two lengths that were tried nothing is looked for: they differ little.
        if wanted not in known and LEAST <= wanted <= MOST:
            return replace(first, method=replace(first.method, epochs=wanted))  # type: ignore[call-arg]
    return None


def _best(tried: Sequence[Rung], scores: Sequence[float | None]) -> float:
    """Epochs of the best score, the fewest of several."""
    found = zip(tried, scores, strict=True)
    return -max((score, -_epochs(rung.recipe)) for rung, score in found if score is not None)[1]


def _epochs(recipe: Recipe) -> float:
    return float(recipe.method.epochs)  # type: ignore[attr-defined]
