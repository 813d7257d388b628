"""The one evaluator: fit on these rows, score on those. Every study calls it and nothing else trains.

It keeps what was predicted for held-out rows: scores, calibration, label errors and stacking are all made from that.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fewtune.data.splits import Split
from fewtune.methods.base import Fitted, IntArray, Written
from fewtune.methods.templated import Templated
from fewtune.metrics.base import OutOfFold
from fewtune.metrics.closeness import Given
from fewtune.metrics.preference import found_better
from fewtune.recipe import Recipe
from fewtune.study.budget import Budget
from fewtune.study.progress import Progress
from fewtune.study.store import RunStore
from fewtune.tune.executors.base import Executor
from fewtune.tune.executors.registry import default_executor
from fewtune.tune.run import Context, Outcome, Run

MOST_WRITTEN = 500
"""Rows after which no further split's texts are written: costs are known of all rows, and writing takes its time."""


@dataclass(frozen=True)
class Judged:
    """A recipe and its outcome on every split."""

    recipe: Recipe
    outcomes: tuple[Outcome, ...]
    oof: OutOfFold

    @property
    def seconds(self) -> float:
        """What its runs cost when they were computed, whenever that was."""
        return sum(outcome.seconds for outcome in self.outcomes)

    @cached_property
    def shown(self) -> OutOfFold:
        """What is told of it: of the majority class, the shares of all rows (`constant_scores` says why)."""
        oof = self.oof
        if self.recipe.method.name != "majority":
            return oof
        shares_C = np.bincount(oof.labels_N, minlength=oof.probs_MC.shape[1]) / len(oof.labels_N)
        probs = tuple(np.tile(shares_C, (len(rows), 1)) for rows in oof.held_out)
        return OutOfFold(oof.labels_N, oof.held_out, probs, oof.groups)


class Evaluator:
    """Judges recipes on fixed splits of one dataset.

    Parameters
    ----------
    context : data and backbones.
    splits : the resamples every recipe is judged on.
    store : where finished runs are kept and looked up; None keeps them in memory only.
    executor : who carries out plans.
    budget : asked before and during runs.
    progress : told of runs and steps.
    seed : the study's seed; a run's own seed comes from it and its split, the same for every recipe.
    texts : whether writers write for held-out rows; their costs are known without, in a fraction of the time.
    """

    def __init__(
        self,
        context: Context,
        splits: Sequence[Split],
        *,
        store: RunStore | None = None,
        executor: Executor | None = None,
        budget: Budget | None = None,
        progress: Progress | None = None,
        seed: int = 0,
        texts: bool = True,
    ) -> None:
        self.context, self.splits, self.store, self.seed = context, tuple(splits), store, seed
        self.texts = texts
        self.executor = executor or default_executor()
        self.budget, self.progress = budget or Budget(None), progress or Progress()
        self._kept: dict[str, Outcome] = {}

    def judge(self, recipe: Recipe, *, at_least: float = 0.0) -> Judged:
        """Out-of-fold predictions of `recipe` on every split. Raises BudgetSpent; what is finished stays kept.

        Parameters
        ----------
        at_least : seconds that all of its runs are known to take; it is not begun where those left to do do not fit.
        """
        plan = self._plan(recipe)
        outcomes = self.outcomes(plan, at_least=at_least / len(plan))
        held_out = tuple(split.test for split in self.splits)
        return Judged(recipe, tuple(outcomes), out_of_fold(outcomes, held_out, self.context))

    def finished(self, recipe: Recipe) -> int:
        """How many of its runs are done and kept."""
        return sum(self._known(self.context.key(run), run) is not None for run in self._plan(recipe))

    def _plan(self, recipe: Recipe) -> list[Run]:
        return [self.run(recipe, number) for number in range(len(self.splits))]

    def run(self, recipe: Recipe, number: int) -> Run:
        """`recipe` on the split of that number: the same run whichever study asks for it."""
        split = self.splits[number]
        seed = derive(self.seed, split.repeat, split.fold)
        # The loss on held-out rows is watched on one split: enough for the picture, cheap, and it decides nothing.
        return Run(recipe, split.train, split.test, seed, watch=number == 0, write=self._writes(number))

    def _writes(self, number: int) -> bool:
        """Whether a writer's texts are kept of a split: each row once, and no more of them than say something; of two
        splits at least, as what is chosen without one of them is chosen by the other.
        """
        before = sum(len(split.test) for split in self.splits[:number])
        # Of plain text there is no answer to be written.
        answers = self.texts and self.context.dataset.task == "generation"
        return answers and self.splits[number].repeat == 0 and (number < 2 or before < MOST_WRITTEN)

    def outcomes(self, plan: Sequence[Run], *, at_least: float = 0.0) -> list[Outcome]:
        """The outcome of each run, from the store where it is there; `at_least`: seconds one is known to take."""
        keys = [self.context.key(run) for run in plan]
        known = zip(keys, plan, strict=True)
        found = {key: outcome for key, run in known if (outcome := self._known(key, run)) is not None}
        first = {key: place for place, key in reversed(list(enumerate(keys)))}  # a run asked for twice is computed once
        missing = [place for place, key in enumerate(keys) if key not in found and first[key] == place]
        for _ in range(len(plan) - len(missing)):
            self.progress.advance()
        if missing:
            self.budget.check()
            self.budget.afford(len(missing) * at_least)
        todo = [plan[place] for place in missing]
        started = time.perf_counter()
        for finished, (place, outcome) in enumerate(self.executor.execute(todo, self.context, tick=self._tick), 1):
            key = keys[missing[place]]
            found[key] = outcome
            self._keep(key, todo[place], outcome)
            self.progress.advance()
            # What cannot be finished is not begun: the time left may still pay for a cheaper rung.
            self.budget.afford((len(todo) - finished) * (time.perf_counter() - started) / finished)
        return [found[key] for key in keys]

    def refit(self, recipe: Recipe) -> Fitted:
        """`recipe` fitted on all rows; it is then given texts as people have them, and puts them to its template.

        The budget's reserve is for this, so it is not interrupted.
        """
        rows: IntArray = np.arange(len(self.context.dataset), dtype=np.int64)
        run = Run(recipe, rows, rows[:0], derive(self.seed, -1, -1))
        fitted = self.executor.fit(run, self.context, tick=self.progress.step)
        templated = recipe.method.embeds and not self.context.writes
        return Templated(fitted, self.context.render(recipe)) if templated else fitted

    def _tick(self) -> None:
        self.progress.step()
        self.budget.check()

    def _known(self, key: str, run: Run) -> Outcome | None:
        """What is kept of a run; one whose texts were written as well, by another study, has all that is asked here."""
        found = self._look_up(key)
        if found is None and self.context.writes and not run.write:
            found = self._look_up(self.context.key(replace(run, write=True)))
        return found

    def _look_up(self, key: str) -> Outcome | None:
        return self._kept.get(key) or (self.store.get(key) if self.store else None)

    def _keep(self, key: str, run: Run, outcome: Outcome) -> None:
        self._kept[key] = outcome
        if self.store is not None:
            about = {
                "method": run.recipe.method.name,
                "backbone": run.recipe.backbone,
                "recipe": run.recipe.hash,
                "data": self.context.dataset.fingerprint,
                "train_rows": len(run.train),
                "test_rows": len(run.test),
                "seed": run.seed,
                **self._score(run, outcome),
            }
            self.store.put(key, outcome, about)

    def _score(self, run: Run, outcome: Outcome) -> dict[str, float]:
        """The one number of a run, for its line in the list."""
        if outcome.written is None:
            return {"accuracy": float((outcome.probs.argmax(1) == self.context.labels[run.test]).mean())}
        told = {"bits_per_byte": bits_per_byte(outcome.written)}
        if outcome.rejected is not None:
            told["preference_accuracy"] = float(found_better(outcome.written, outcome.rejected).mean())
        return told


def out_of_fold(outcomes: Sequence[Outcome], held_out: Sequence[IntArray], context: Context) -> OutOfFold:
    """What was predicted, or written, for the rows held out."""
    written = tuple(outcome.written for outcome in outcomes if outcome.written is not None)
    if any(part.texts for part in written):
        written = tuple(map(Given(context.dataset.examples).judged, written, held_out))
    probs = tuple(outcome.probs for outcome in outcomes)
    rejected = tuple(outcome.rejected for outcome in outcomes if outcome.rejected is not None)
    return OutOfFold(
        context.labels,
        tuple(held_out),
        probs,
        context.groups,
        written if context.writes else None,
        rejected or None,
        context.wanted,
    )


def bits_per_byte(written: Written) -> float:
    """What all completions cost, over all their bytes."""
    return float(written.nll.sum() / (np.log(2) * max(1, int(written.bytes.sum()))))


def derive(seed: int, *parts: int) -> int:
    """A 31-bit seed from a seed and a place, the same on every machine."""
    text = ",".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
