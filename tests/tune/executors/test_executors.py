"""Every executor keeps the contract. A new one is a line in `EXECUTORS`."""

import itertools
import multiprocessing
import os
from collections import deque

import numpy as np
import pytest
from bad_methods import Failing, Fatal

from fewtune.data.splits import repeated_folds
from fewtune.errors import TrainingDiverged
from fewtune.methods.probe import Probe
from fewtune.recipe import Recipe
from fewtune.testing.executors import ExecutorContract, toy_context
from fewtune.tune.executors.forked import ForkedExecutor, _Plan
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.run import Context, Run, carry_out

EXECUTORS = [SerialExecutor, lambda: ForkedExecutor(workers=2)]


@pytest.fixture
def context(tiny_encoder):
    return toy_context(tiny_encoder)


class TestExecutors(ExecutorContract):
    @pytest.fixture(params=EXECUTORS)
    def executor(self, request):
        return request.param()

    @pytest.fixture
    def context(self, tiny_encoder):
        return toy_context(tiny_encoder)


def test_a_worker_that_dies_costs_only_its_run(context: Context) -> None:
    splits = repeated_folds(context.labels.tolist(), folds=3, repeats=2, seed=0)
    plan = [Run(Recipe(Fatal(os.getpid())), split.train, split.test, 0) for split in splits]
    done = dict(ForkedExecutor(workers=2).execute(plan, context))
    assert sorted(done) == list(range(len(plan)))
    for place, outcome in done.items():
        np.testing.assert_array_equal(outcome.probs, carry_out(plan[place], context).probs)


def test_what_a_run_raises_comes_through(context: Context) -> None:
    splits = repeated_folds(context.labels.tolist(), folds=3, seed=0)
    plan = [Run(Recipe(Failing()), split.train, split.test, 0) for split in splits]
    with pytest.raises(TrainingDiverged, match="on purpose"):
        list(ForkedExecutor(workers=2).execute(plan, context))


def test_no_worker_outlives_the_plan(context: Context) -> None:
    splits = repeated_folds(context.labels.tolist(), folds=3, repeats=2, seed=0)
    outcomes = ForkedExecutor(workers=2).execute([Run(Recipe(Probe()), s.train, s.test, 0) for s in splits], context)
    next(outcomes)
    assert multiprocessing.active_children()
    outcomes.close()
    assert not multiprocessing.active_children()


def test_a_run_left_over_is_that_of_a_full_plan_bit_for_bit():
    """On a backbone large enough for PyTorch to share its sums among threads, which rounds them differently."""
    import torch

    from fewtune.backbones.load import load_encoder
    from fewtune.methods.top_layers import TopLayers
    from fewtune.testing.toys import toy_dataset

    context = Context(toy_dataset(6), {"default": load_encoder()})
    recipe = Recipe(TopLayers(least_steps=2, epochs=0.1))
    splits = repeated_folds(context.labels.tolist(), folds=2, seed=0)
    plan = [Run(recipe, split.train, split.test, seed) for seed, split in enumerate(splits)]
    kept = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = dict(ForkedExecutor(2).execute(plan, context))
        ((_, alone),) = ForkedExecutor(2).execute(plan[1:], context)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(kept)
    np.testing.assert_array_equal(alone.probs, together[1].probs)
    assert alone.log == together[1].log


def taken_by(workers, rows):
    """The runs that some workers are given in turns, where `rows` says from which rows each run learns."""
    runs = [Run(Recipe(Probe()), np.asarray([first, 9]), np.asarray([8]), seed=0) for first in rows]
    plan = _Plan(runs, deque(range(len(runs))))
    last, given = [b""] * workers, [[] for _ in range(workers)]
    for turn in itertools.cycle(range(workers)):
        place = plan.take(last[turn], {own for worker, own in enumerate(last) if worker != turn})
        if place is None:
            return given
        last[turn] = plan.rows[place]
        given[turn].append(place)


@pytest.mark.parametrize(
    ("rows", "given"),
    [
        ([0, 0, 0, 1, 1, 1, 2, 2], [[0, 1, 2, 6], [3, 4, 5, 7]]),
        ([0, 1, 2, 3, 4], [[0, 2, 4], [1, 3]]),
        ([0, 0, 0, 0], [[0, 2], [1, 3]]),
        ([0, 1, 0, 1, 0], [[0, 2, 4], [1, 3]]),
    ],
    ids=["whole folds", "other rows each", "one set of rows", "in turns"],
)
def test_a_worker_stays_with_its_rows_and_leaves_others_theirs(rows, given):
    assert taken_by(2, rows) == given
