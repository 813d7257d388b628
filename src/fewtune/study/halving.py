"""Successive halving on paired folds: judge all on a few splits, drop who is clearly behind, go on with the rest.

A candidate is dropped when it is worse than the best so far by more than a margin, and by more than so many paired
standard errors that the candidate that is truly best is dropped with a probability of at most `risk`: whatever
candidate looks best, and at whichever look, the truly best one must fall behind it by luck alone. That is R − 1 chances
at each of L looks, so each is given risk / ((R − 1)·L) (Bonferroni). Plain halving, which drops the worse half whatever
the difference, has no such bound: on a few hundred rows most of what it drops is told apart by noise.

`Halving` is asked what to judge next and told the scores (ask/tell); `halve` is the loop over an evaluator.

Legend: R candidates, J splits, B rows a split holds out, L looks at which somebody can be dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from fewtune.errors import TrainingDiverged
from fewtune.methods.base import FloatArray, IntArray
from fewtune.metrics.intervals import Groups, correction
from fewtune.metrics.paired import paired_error
from fewtune.recipe import Recipe
from fewtune.study.budget import BudgetSpent
from fewtune.study.evaluator import Evaluator, out_of_fold
from fewtune.study.measure import Measure, measure_of
from fewtune.tune.run import Outcome

MARGIN = 0.01
"""A difference in score that nobody would act on: within it no candidate is dropped, however sure it is."""
RISK = 0.05
FIRST_SPLITS = 2
"""Splits judged before the first look: one has no spread."""


@dataclass(frozen=True)
class Dropped:
    """A candidate that is judged no further: when, against whom, by how much."""

    candidate: int
    after: int
    """Splits it was judged on."""
    best: int
    """Who led then."""
    behind: float
    """How much worse it was, on the same rows."""
    error: float
    """The corrected paired standard error of that."""
    limit: float
    """What it had to exceed: the margin, or so many standard errors."""
    reason: str = ""
    """In words, where it was no comparison: its loss diverged."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Halving:
    """Says which candidates to judge on which splits, and drops those that are clearly behind.

    Parameters
    ----------
    candidates : R, how many there are; they are numbered from 0.
    held_out : J arrays [B], the rows each split holds out.
    rows : N, of the dataset.
    groups : [N] rows with the same group count as one.
    keep : candidates that are never dropped, such as the one the others are held against.
    margin : in units of the score.
    risk : the probability, at most, that the truly best candidate is dropped on the way; 0 drops nobody.
    first : splits before the first look; it doubles from look to look.
    """

    def __init__(
        self,
        candidates: int,
        held_out: Sequence[IntArray],
        *,
        rows: int,
        groups: Groups = None,
        keep: Collection[int] = (),
        margin: float = MARGIN,
        risk: float = RISK,
        first: int = FIRST_SPLITS,
    ) -> None:
        self.held_out, self.rows, self.groups = tuple(held_out), rows, groups
        self.keep, self.margin, self.risk = frozenset(keep), margin, risk
        self.stages = stages(len(self.held_out), first) if risk > 0 and candidates > 1 else (len(self.held_out),)
        self.candidates = candidates
        self.survivors: tuple[int, ...] = tuple(range(candidates))
        self.dropped: list[Dropped] = []
        self.scores: list[list[FloatArray]] = [[] for _ in range(candidates)]
        """[R][≤ J] arrays [B]: a score a held-out row, higher is better."""

    @property
    def factor(self) -> float:
        """How many standard errors a candidate must be behind by."""
        chances = (self.candidates - 1) * (len(self.stages) - 1)
        return max(1.0, float(stats.norm.isf(self.risk / chances))) if chances and self.risk > 0 else np.inf

    @property
    def judged(self) -> int:
        """Splits every survivor has been judged on."""
        return min((len(self.scores[place]) for place in self.survivors), default=len(self.held_out))

    def ask(self) -> list[tuple[int, int]]:
        """(Candidate, split) pairs to be judged before the next look; none when all is done."""
        until = next((stage for stage in self.stages if stage > self.judged), 0)
        return [(place, split) for place in self.survivors for split in range(len(self.scores[place]), until)]

    def tell(self, scores: Mapping[tuple[int, int], FloatArray]) -> None:
        """The row scores of what was asked for; those behind are dropped when all of it is told."""
        for place, split in sorted(scores):
            assert split == len(self.scores[place]), "splits are told in their order"
            self.scores[place].append(scores[place, split])
        if self.judged in self.stages[:-1]:
            self._look()

    def fail(self, candidate: int, reason: str) -> None:
        """Take a candidate out that could not be judged."""
        assert len(self.survivors) > 1 or candidate not in self.survivors, reason
        after = len(self.scores[candidate])
        self.dropped.append(Dropped(candidate, after, self.best, 0.0, 0.0, 0.0, reason))
        self.survivors = tuple(place for place in self.survivors if place != candidate)

    @property
    def best(self) -> int:
        """The survivor with the highest mean score so far, the first of equals."""
        means = [round(self.mean(place), 9) for place in self.survivors]
        return self.survivors[int(np.argmax(means))]

    def mean(self, candidate: int) -> float:
        """A candidate's mean score over its held-out rows; minus infinity before the first."""
        return float(np.concatenate(self.scores[candidate]).mean()) if self.scores[candidate] else -np.inf

    def _look(self) -> None:
        best, splits = self.best, self.judged
        shared = self._usual_error(best, splits)
        for place in self.survivors:
            if place == best or place in self.keep:
                continue
            behind, error = paired_error(
                self.scores[best][:splits],
                self.scores[place][:splits],
                self.held_out[:splits],
                rows=self.rows,
                groups=self.groups,
            )
            error = max(error, shared)
            limit = max(self.margin, self.factor * error)
            if behind > limit:
                self.dropped.append(Dropped(place, splits, best, behind, error, limit))
        gone = {one.candidate for one in self.dropped}
        self.survivors = tuple(place for place in self.survivors if place not in gone)

    def _usual_error(self, best: int, splits: int) -> float:
        """The corrected standard error that a pair has here, from all pairs: on two splits a pair's own spread is luck,
        and half of the time it is less than half of what it should be.
        """
        means_RJ = np.array([[part.mean() for part in self.scores[place][:splits]] for place in self.survivors])
        differ_RJ = np.delete(means_RJ[self.survivors.index(best)] - means_RJ, self.survivors.index(best), axis=0)
        if splits < 2 or not len(differ_RJ):
            return 0.0
        # The median, so that candidates that collapse on some splits do not shield the rest.
        typical = float(np.median(differ_RJ.var(axis=1, ddof=1))) / float(
            stats.chi2.ppf(0.5, splits - 1) / (splits - 1)
        )
        return float(np.sqrt(correction(self.held_out[:splits], self.rows) * typical))


def stages(splits: int, first: int = FIRST_SPLITS) -> tuple[int, ...]:
    """Splits judged at each look, doubling; the last is all of them."""
    found = []
    count = first
    while count < splits:
        found.append(count)
        count *= 2
    return (*found, splits)


@dataclass(frozen=True)
class Halved:
    """What halving gave."""

    recipes: tuple[Recipe, ...]
    halving: Halving
    outcomes: tuple[tuple[Outcome, ...], ...]
    """[R] of the splits each was judged on."""
    measure: Measure
    unfinished: bool
    """Whether the budget ended it: survivors were then judged on the first splits only."""

    @property
    def runs(self) -> int:
        """Runs it took."""
        return sum(map(len, self.outcomes))

    @property
    def of(self) -> int:
        """Runs that judging everybody everywhere takes."""
        return len(self.recipes) * len(self.halving.held_out)


def halve(
    evaluator: Evaluator,
    recipes: Sequence[Recipe],
    *,
    keep: Collection[int] = (),
    margin: float = MARGIN,
    risk: float = RISK,
) -> Halved:
    """Judge `recipes` by accuracy, or by bits per byte where they write, dropping losers on the way.

    Every run goes through the evaluator, so what its store holds is not computed again and a killed search goes on
    where it stood. One whose loss diverges is dropped with that reason. When the budget is spent, what every survivor
    was judged on counts.

    Raises
    ------
    TrainingDiverged : everybody's loss did.
    BudgetSpent : before any split was judged by all.
    """
    held_out = [split.test for split in evaluator.splits]
    labels, groups = evaluator.context.labels, evaluator.context.groups
    measure = measure_of(writes=evaluator.context.writes)
    halving = Halving(len(recipes), held_out, rows=len(labels), groups=groups, keep=keep, margin=margin, risk=risk)
    outcomes: list[list[Outcome]] = [[] for _ in recipes]
    unfinished = False
    while asked := halving.ask():
        evaluator.progress.start(_title(halving, asked), len(asked))
        try:
            found = _carry_out(evaluator, recipes, halving, asked)
        except BudgetSpent:
            evaluator.progress.finish("not judged: it would not fit the budget")
            if not halving.judged:
                raise
            unfinished = True
            break
        for (place, _), outcome in found.items():
            outcomes[place].append(outcome)
        told = {
            (place, split): out_of_fold([outcome], [held_out[split]], evaluator.context).row_scores[0]
            for (place, split), outcome in found.items()
        }
        before = len(halving.survivors)
        halving.tell(told)
        evaluator.progress.finish(_result(halving, before, measure))
    return Halved(tuple(recipes), halving, tuple(map(tuple, outcomes)), measure, unfinished)


def _carry_out(
    evaluator: Evaluator, recipes: Sequence[Recipe], halving: Halving, asked: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], Outcome]:
    """The outcomes of one stage. Where a loss diverges each candidate is asked for alone: what is finished is kept, so
    this repeats nothing.
    """
    plan = [evaluator.run(recipes[place], split) for place, split in asked]
    try:
        return dict(zip(asked, evaluator.outcomes(plan), strict=True))
    except TrainingDiverged:
        pass
    found: dict[tuple[int, int], Outcome] = {}
    for place in dict.fromkeys(place for place, _ in asked):
        mine = [pair for pair in asked if pair[0] == place]
        try:
            outcomes = evaluator.outcomes([evaluator.run(recipes[place], split) for _, split in mine])
        except TrainingDiverged as error:
            if len(halving.survivors) == 1:
                raise
            halving.fail(place, str(error))
        else:
            found |= dict(zip(mine, outcomes, strict=True))
    return found


def _title(halving: Halving, asked: Sequence[tuple[int, int]]) -> str:
    last = max(split for _, split in asked) + 1
    return f"{len(halving.survivors)} settings on splits {halving.judged + 1} to {last}"


def _result(halving: Halving, before: int, measure: Measure) -> str:
    gone = before - len(halving.survivors)
    best = f"best {measure.name.replace('_', ' ')} {measure.shown(halving.mean(halving.best)):.3f}"
    return f"{best}, {gone} dropped" if gone else best


__all__ = ["MARGIN", "RISK", "Dropped", "Halved", "Halving", "halve", "stages"]
