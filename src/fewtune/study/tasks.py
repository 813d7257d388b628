"""Several tasks in one tuning: what it does on the rows of each, held against a tuning on those rows alone.

Alone means the method that won, in the number of epochs that is best for the task by itself, on the same folds with the
other tasks' rows taken out. So the two differ in the mixing and in nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fewtune.data.splits import Split
from fewtune.methods.base import IntArray
from fewtune.metrics.base import OutOfFold
from fewtune.study.choice import Candidate, choose
from fewtune.study.evaluator import Evaluator, Judged
from fewtune.study.ladder import ALWAYS_WRITING, Climb, lengths, reserve
from fewtune.study.progress import Progress

NOT_TUNED = "nothing was tuned"
NO_TIME = "no time was left to tune it alone; give more with --budget"
TOO_FEW = "a fold left it no row to learn from"


@dataclass(frozen=True)
class Apart:
    """One task of several."""

    name: str
    rows: IntArray
    """[N] of the dataset."""
    mixed: OutOfFold
    """The chosen model's predictions of its rows, having learnt the others' too."""
    prompted: OutOfFold | None
    """Those of the model asked without examples."""
    alone: Judged | None = None
    """A tuning on its rows alone; None where there is none, for a `reason`."""
    reason: str = ""


class Titled(Progress):
    """Another's bars, each with a word before its title."""

    def __init__(self, before: str, inner: Progress) -> None:
        self.before, self.inner = before, inner

    def start(self, title: str, total: int) -> None:
        """With the word."""
        self.inner.start(f"{self.before}: {title}", total)

    def advance(self) -> None:
        """As the other."""
        self.inner.advance()

    def step(self) -> None:
        """As the other."""
        self.inner.step()

    def finish(self, sentence: str = "") -> None:
        """As the other."""
        self.inner.finish(sentence)

    def say(self, sentence: str) -> None:
        """As the other."""
        self.inner.say(sentence)


def apart(evaluator: Evaluator, climbed: Climb) -> list[Apart]:
    """Each task by itself; nothing where there is but one."""
    mix = evaluator.context.mix
    if mix is None or len(mix.names) < 2:
        return []
    evaluator.budget.reserve = reserve(evaluator, climbed.rungs)  # what was kept back for this is spent on it
    task_N = np.asarray(mix.task_N, dtype=np.int64)
    plain = next((one.judged for one in climbed.rungs if one.recipe.method.name == "zero_shot" and one.judged), None)
    found = []
    for place, name in enumerate(mix.names):
        rows = np.flatnonzero(task_N == place)
        prompted = None if plain is None else plain.oof.only(rows)
        part = Apart(name, rows, climbed.winning.oof.only(rows), prompted)
        found.append(_with_alone(part, evaluator, climbed))
    return found


def _with_alone(part: Apart, evaluator: Evaluator, climbed: Climb) -> Apart:
    method = climbed.winning.recipe.method.name
    if method in ALWAYS_WRITING:
        return replace(part, reason=NOT_TUNED)
    splits = splits_of_task(evaluator.splits, part.rows)
    if any(not len(split.train) for split in splits):
        return replace(part, reason=TOO_FEW)
    same = [one.recipe for one in climbed.rungs if one.recipe.method.name == method]
    first = next(recipe for recipe in same if recipe.backbone == climbed.winning.recipe.backbone)
    tried = [one.judged for one in lengths(_evaluator(evaluator, part, splits), first) if one.judged is not None]
    if not tried:
        return replace(part, reason=NO_TIME)
    return replace(part, alone=tried[choose([Candidate(method, one.oof) for one in tried])[0]])


def _evaluator(evaluator: Evaluator, part: Apart, splits: Sequence[Split]) -> Evaluator:
    """The same study on one task's rows; runs go to the same store."""
    whole = evaluator.context
    assert whole.mix is not None
    context = replace(
        whole,
        dataset=whole.dataset.subset(part.rows.tolist()),
        groups=None if whole.groups is None else [whole.groups[row] for row in part.rows],
        mix=whole.mix.only_replay() if whole.mix.replay else None,
    )
    return Evaluator(
        context,
        splits,
        store=evaluator.store,
        executor=evaluator.executor,
        budget=evaluator.budget,
        progress=Titled(f"{part.name} alone", evaluator.progress),
        seed=evaluator.seed,
    )


def splits_of_task(splits: Sequence[Split], rows: IntArray) -> list[Split]:
    """The same splits of one task's rows, numbered anew; those that hold none of them out are left away."""
    found = []
    for split in splits:
        train, test = (np.searchsorted(rows, np.intersect1d(side, rows)) for side in (split.train, split.test))
        if len(test):
            found.append(replace(split, train=train.astype(np.int64), test=test.astype(np.int64)))
    return found
