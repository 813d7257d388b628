"""The promises of an `Executor`. Subclass, give `executor`, and all of them are tested."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from fewtune.data.splits import repeated_folds
from fewtune.methods.probe import Probe
from fewtune.methods.top_layers import TopLayers
from fewtune.recipe import Recipe
from fewtune.testing.toys import toy_dataset
from fewtune.tune.executors.base import Executor
from fewtune.tune.run import Context, Outcome, Run, carry_out


class Interruption(Exception):
    """Raised by a tick of these tests."""


class ExecutorContract:
    """What every executor promises, on toy runs."""

    tolerance: float = 0.0
    """How far probabilities and losses may be from those of the run alone; 0 asks for the same bits."""

    def same(self, first: Outcome, second: Outcome) -> None:
        """Equal but for the time they took."""
        same(first, second, tolerance=self.tolerance)

    @pytest.fixture
    def executor(self) -> Executor:
        """The implementation under test."""
        raise NotImplementedError("give a fixture `executor`")

    @pytest.fixture
    def context(self) -> Context:
        """A context with a backbone called `default`, over `toy_dataset(6)`."""
        raise NotImplementedError("give a fixture `context`")

    @pytest.fixture
    def plan(self, context: Context) -> list[Run]:
        """Runs that share a backbone and rows, and runs that do not."""
        splits = repeated_folds(context.labels.tolist(), folds=3, seed=0)
        quick = TopLayers(least_steps=4, epochs=0.1)
        methods = (Probe(), quick, dataclasses.replace(quick, weight_decay=0.5))
        return [
            Run(Recipe(method), split.train, split.test, seed, watch=seed == 1)
            for seed, (method, split) in enumerate(zip(methods * 2, splits * 2, strict=True))
        ]

    def test_each_run_once(self, executor: Executor, context: Context, plan: list[Run]) -> None:
        assert sorted(place for place, _ in executor.execute(plan, context)) == list(range(len(plan)))

    def test_nothing_to_do(self, executor: Executor, context: Context) -> None:
        assert list(executor.execute([], context)) == []

    def test_each_outcome_is_that_of_the_run_alone(self, executor: Executor, context: Context, plan: list[Run]) -> None:
        for place, outcome in executor.execute(plan, context):
            self.same(outcome, carry_out(plan[place], context))

    def test_order_and_company_change_nothing(self, executor: Executor, context: Context, plan: list[Run]) -> None:
        forward = dict(executor.execute(plan, context))
        backward = dict(executor.execute(plan[::-1], context))
        part = dict(executor.execute(plan[1:2], context))
        for place, outcome in forward.items():
            self.same(outcome, backward[len(plan) - 1 - place])
        self.same(part[0], forward[1])

    def test_what_a_tick_raises_passes_through(self, executor: Executor, context: Context, plan: list[Run]) -> None:
        """What was yielded before is whole; what was under way is not yielded."""
        finished: dict[int, Outcome] = {}

        def tick() -> None:
            if finished:
                raise Interruption

        with pytest.raises(Interruption):
            _record(executor.execute(plan, context, tick=tick), finished)
        assert len(finished) < len(plan)
        for place, outcome in finished.items():
            self.same(outcome, carry_out(plan[place], context))

    def test_it_ticks_while_training(self, executor: Executor, context: Context, plan: list[Run]) -> None:
        ticks: list[None] = []
        steps = 0
        for _, outcome in executor.execute(plan, context, tick=lambda: ticks.append(None)):
            steps += len(outcome.log.steps) if outcome.log is not None else 0
        assert steps > 0
        assert ticks, "a budget could not be kept"

    def test_it_can_be_left_early(self, executor: Executor, context: Context, plan: list[Run]) -> None:
        stream = executor.execute(plan, context)
        place, outcome = next(stream)
        stream.close()  # type: ignore[attr-defined]
        self.same(outcome, carry_out(plan[place], context))

    def test_it_can_be_used_again(self, executor: Executor, context: Context, plan: list[Run]) -> None:
        first, second = (dict(executor.execute(plan[:2], context)) for _ in range(2))
        for place in first:
            self.same(first[place], second[place])

    def test_a_refit_has_no_rows_to_predict(self, executor: Executor, context: Context) -> None:
        rows = np.arange(len(context.dataset), dtype=np.int64)
        ((_, outcome),) = executor.execute([Run(Recipe(Probe()), rows, rows[:0], 0)], context)
        assert outcome.probs.shape == (0, len(context.dataset.classes))


def _record(stream: Iterator[tuple[int, Outcome]], finished: dict[int, Outcome]) -> None:
    """Run a stream to its end; what it yielded is in `finished` even where it breaks."""
    for place, outcome in stream:
        finished[place] = outcome


def toy_context(encoder: object) -> Context:
    """A context for `ExecutorContract` on a backbone."""
    return Context(toy_dataset(6), {"default": encoder})  # type: ignore[dict-item]


def same(first: Outcome, second: Outcome, *, tolerance: float = 0.0) -> None:
    """Equal but for the time they took: bit for bit, or within `tolerance` relative to the larger."""
    np.testing.assert_allclose(first.probs, second.probs, rtol=tolerance, atol=tolerance)
    for name in ("train_loss", "validation_loss"):
        ours, theirs = (np.asarray(getattr(outcome.log, name, [])) for outcome in (first, second))
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    bare = [
        None if outcome.log is None else dataclasses.replace(outcome.log, train_loss=[], validation_loss=[])
        for outcome in (first, second)
    ]
    assert bare[0] == bare[1]
    assert first.notes == second.notes
    assert first.trainable_parameters == second.trainable_parameters
