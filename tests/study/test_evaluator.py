"""One evaluator: nothing is computed twice, nothing of a held-out row is learned from."""

import dataclasses
import itertools
import time

import numpy as np
import pytest
from counting import Counting

from fewtune.data.base import Dataset, Example
from fewtune.data.splits import repeated_folds
from fewtune.errors import TrainingDiverged
from fewtune.methods.contrastive import Contrastive
from fewtune.methods.contrastive_pool import ContrastivePool
from fewtune.methods.majority import Majority
from fewtune.methods.probe import Probe
from fewtune.methods.self_training import SelfTraining
from fewtune.methods.top_layers import TopLayers
from fewtune.metrics.intervals import Interval
from fewtune.recipe import Recipe
from fewtune.study.budget import Budget, BudgetSpent
from fewtune.study.evaluator import Evaluator, derive
from fewtune.study.ladder import climb, default_rungs
from fewtune.study.learning_curve import (
    Point,
    ahead,
    fit_power_laws,
    laws_of,
    learning_curve,
    nested_part,
    power_law,
)
from fewtune.study.store import RunStore
from fewtune.testing.toys import toy_dataset
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.run import Context, Run

QUICK = TopLayers(least_steps=4, epochs=0.1)


@pytest.fixture
def context(tiny_encoder):
    return Context(toy_dataset(8), {"default": tiny_encoder})


@pytest.fixture
def splits(context):
    return repeated_folds(context.labels.tolist(), folds=3, repeats=2, seed=0)


def test_every_row_is_predicted_by_who_has_not_seen_it(context, splits):
    judged = Evaluator(context, splits).judge(Recipe(Probe()))
    for split, outcome, rows in zip(splits, judged.outcomes, judged.oof.held_out, strict=True):
        assert not set(split.train) & set(split.test)
        np.testing.assert_array_equal(rows, split.test)
        assert outcome.probs.shape == (len(split.test), 3)
    assert np.bincount(judged.oof.rows_M).tolist() == [2] * 24


def test_the_labels_of_held_out_rows_do_not_reach_the_model(context, splits):
    """Other labels on the test side, the same predictions."""
    split = splits[0]
    rows = list(context.dataset.examples)
    for row in split.test:
        rows[row] = dataclasses.replace(rows[row], label="animals")
    spoiled = Context(Dataset(tuple(rows)), context.encoders)
    for method in (Majority(), Probe(), QUICK):
        found = [
            next(SerialExecutor().execute([Run(Recipe(method), split.train, split.test, 5, watch=True)], one))[1].probs
            for one in (context, spoiled)
        ]
        np.testing.assert_array_equal(*found)


def test_unlabelled_copies_of_held_out_rows_are_taken_out(context, splits, tiny_encoder):
    pool = (context.dataset.texts[0], context.dataset.texts[1], "something new")
    wider = dataclasses.replace(context, unlabelled=pool)
    for split in splits:
        material = wider.material(Run(Recipe(SelfTraining()), split.train, split.test, 0))
        held_out = {context.dataset.texts[row] for row in split.test}
        assert not set(material.unlabelled) & held_out
        assert "something new" in material.unlabelled
        assert not set(material.texts) & held_out


def test_what_is_finished_is_never_computed_again(context, splits, tmp_path):
    executor = Counting()
    first = Evaluator(context, splits, store=RunStore(tmp_path), executor=executor, seed=1)
    judged = [first.judge(Recipe(method)) for method in (Majority(), Probe(), Probe(), Majority())]
    assert len(executor.ran) == len(set(executor.ran)) == 12

    second = Evaluator(context, splits, store=RunStore(tmp_path), executor=executor, seed=1)
    again = second.judge(Recipe(Probe()))
    assert len(executor.ran) == 12
    for ours, theirs in zip(judged[1].outcomes, again.outcomes, strict=True):
        np.testing.assert_array_equal(ours.probs, theirs.probs)
        assert ours.seconds == theirs.seconds


def test_the_same_run_twice_in_a_plan_is_computed_once(context, splits):
    executor = Counting()
    run = Run(Recipe(Probe()), splits[0].train, splits[0].test, 0)
    outcomes = Evaluator(context, splits, executor=executor).outcomes([run, run, dataclasses.replace(run, seed=1), run])
    assert len(executor.ran) == 2
    assert outcomes[0] is outcomes[1] is outcomes[3]


OTHERS = [
    {"seed": 2},
    {"watch": True},
    {"recipe": Recipe(Probe(default_strength=3.0))},
    {"recipe": Recipe(Majority())},
    {"train": np.arange(5)},
    {"test": np.arange(5)},
]


@pytest.mark.parametrize("change", OTHERS)
def test_a_key_follows_everything_a_result_depends_on(context, splits, change):
    run = Run(Recipe(Probe()), splits[0].train, splits[0].test, 1)
    assert context.key(run) == context.key(dataclasses.replace(run))
    assert context.key(run) != context.key(dataclasses.replace(run, **change))


def test_a_key_follows_rows_pool_groups_and_backbone(context, splits, tiny_folders):
    from fewtune.backbones.load import load_encoder

    run = Run(Recipe(Probe()), splits[0].train, splits[0].test, 1)
    rows = list(context.dataset.examples)
    rows[3] = Example("other text", rows[3].label, id=rows[3].id)
    others = [
        Context(Dataset(tuple(rows)), context.encoders),
        dataclasses.replace(context, unlabelled=("a",)),
        dataclasses.replace(context, groups=[0] * 24),
        dataclasses.replace(context, encoders={"default": load_encoder(tiny_folders("bert", "cls"))}),
    ]
    keys = {context.key(run), *(other.key(run) for other in others)}
    assert len(keys) == 5
    # Majority reads no text: a backbone is not part of it.
    same = dataclasses.replace(run, recipe=Recipe(Majority()))
    assert context.key(same) == others[3].key(same)


def test_seeds_come_from_the_study_and_the_split_and_are_those_of_every_recipe():
    assert derive(0, 1, 2) == derive(0, 1, 2)
    seeds = {derive(seed, repeat, fold) for seed in range(5) for repeat in range(5) for fold in range(5)}
    assert len(seeds) == 125
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_budget_stops_between_steps_and_keeps_what_is_finished(context, splits, tmp_path):
    executor = Counting()
    budget = Budget(1000.0)
    evaluator = Evaluator(context, splits, store=RunStore(tmp_path), executor=executor, budget=budget)
    steps = []

    class Watch(type(evaluator.progress)):
        def step(self):
            steps.append(1)
            if len(steps) == 10:  # in the middle of the third run of four steps
                budget.seconds = 0.001

    evaluator.progress = Watch()
    with pytest.raises(BudgetSpent):
        evaluator.judge(Recipe(QUICK))
    assert len(steps) == 10
    assert len(executor.ran) == 2
    assert len(RunStore(tmp_path)) == 2
    Evaluator(context, splits, store=RunStore(tmp_path), executor=executor).judge(Recipe(QUICK))
    assert len(executor.ran) == len(set(executor.ran)) == 6


def test_no_time_at_all_still_judges_what_everything_is_held_against(context, splits):
    evaluator = Evaluator(context, splits, budget=Budget(0.001, started=time.perf_counter() - 1))
    found = climb(evaluator, default_rungs(["default"], unlabelled=False))
    judged = [rung.recipe.method.name for rung in found.rungs if rung.judged is not None]
    assert judged == ["majority", "probe"]
    assert all("budget" in rung.reason for rung in found.rungs if rung.judged is None)
    assert found.rungs[found.winner].recipe.method.name == "probe"


@pytest.mark.parametrize("kept", [True, False])
def test_a_rung_that_the_budget_ends_in_says_what_of_it_was_done(context, splits, monkeypatch, tmp_path, kept):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    class Slower(Counting):
        def execute(self, plan, context, *, tick=None):
            for number, done in enumerate(super().execute(plan, context, tick=tick)):
                now[0] += 4.0 * number if plan[0].recipe.method == QUICK else 0.1
                yield done

    budget = Budget(25.0, started=0.0)
    evaluator = Evaluator(context, splits, store=RunStore(tmp_path) if kept else None, executor=Slower(), budget=budget)
    found = climb(evaluator, [Recipe(Majority()), Recipe(Probe()), Recipe(QUICK)])
    told = "the budget ended in it; 3 of its 6 runs are done"
    assert found.rungs[2].reason == told + (", and kept for next time" if kept else "")
    assert evaluator.finished(Recipe(QUICK)) == 3


@pytest.mark.parametrize(("seconds", "begun"), [(90.0, False), (1000.0, True)])
def test_what_goes_on_from_a_rung_is_not_begun_where_that_rung_twice_over_does_not_fit(
    context, splits, monkeypatch, seconds, begun
):
    """The time would be gone, and the rungs behind it with it."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    class Slow(Counting):
        def execute(self, plan, context, *, tick=None):
            for done in super().execute(plan, context, tick=tick):
                now[0] += 5.0 if plan[0].recipe.method.name.startswith("contrastive") else 0.1
                yield done

    executor = Slow()
    once, twice = Contrastive(steps=2, most_steps=2), ContrastivePool(steps=2, most_steps=2)
    recipes = [Recipe(one) for one in (Majority(), Probe(), once, twice, QUICK)]
    wider = dataclasses.replace(context, unlabelled=("one text", "another text", "a third"))
    found = climb(Evaluator(wider, splits, executor=executor, budget=Budget(seconds, started=0.0)), recipes)
    assert (found.rungs[3].judged is not None) == begun
    assert found.rungs[2].judged is not None
    assert found.rungs[4].judged is not None
    if not begun:
        assert found.rungs[3].reason == "it would not fit in what was left of the budget"
        assert now[0] < 40, "none of its runs was paid for"


def test_a_rung_that_diverges_is_skipped_and_says_why(context, splits):
    class Diverging(SerialExecutor):
        def execute(self, plan, context, *, tick=None):
            if plan[0].recipe.method.name == "top_layers":
                raise TrainingDiverged("Top layers: the loss was not a finite number. Lower its rate.")
            yield from super().execute(plan, context, tick=tick)

    evaluator = Evaluator(context, splits, executor=Diverging())
    found = climb(evaluator, [Recipe(Majority()), Recipe(Probe()), Recipe(QUICK)])
    assert found.judged == (0, 1)
    assert "not a finite number" in found.rungs[2].reason


def test_the_headline_is_of_the_rung_chosen_inside_each_split(context, splits):
    found = climb(Evaluator(context, splits), [Recipe(Majority()), Recipe(Probe()), Recipe(QUICK)])
    assert len(found.chosen) == len(splits)
    for number, pick in enumerate(found.chosen):
        np.testing.assert_array_equal(found.headline.probs[number], found.rungs[pick].judged.oof.probs[number])
        np.testing.assert_array_equal(found.headline.held_out[number], splits[number].test)


def test_rungs_for_several_backbones_are_climbed_backbone_by_backbone():
    recipes = default_rungs(["small", "large"], unlabelled=True)
    names = [(recipe.backbone, recipe.method.name) for recipe in recipes]
    assert names.count(("small", "majority")) == 1
    assert ("large", "majority") not in names
    places = [place for place, (backbone, _) in enumerate(names) if backbone == "large"]
    assert places == list(range(len(names) - len(places), len(names)))
    assert {name for backbone, name in names if backbone == "large"} == {
        name for backbone, name in names if backbone == "small" and name != "majority"
    }
    assert not any(r.method.uses_unlabelled for r in default_rungs(["small"], unlabelled=False))


def test_parts_of_the_curve_lie_inside_one_another(context, splits):
    for split in splits:
        parts = [set(nested_part(context.labels, split.train, share, 7)) for share in (0.1, 0.3, 0.6, 1.0)]
        for smaller, larger in itertools.pairwise(parts):
            assert smaller <= larger
        assert parts[-1] == set(split.train)
        assert {int(context.labels[row]) for row in parts[0]} == {0, 1, 2}


def test_the_curve_learns_from_growing_parts_and_shares_its_last_point_with_the_ladder(context, splits):
    executor = Counting()
    evaluator = Evaluator(context, splits, executor=executor)
    judged = evaluator.judge(Recipe(Probe()))
    before = len(executor.ran)
    curve = learning_curve(evaluator, Recipe(Probe()))
    assert len(curve.points) >= 2
    rows = [point.rows for point in curve.points]
    assert rows == sorted(rows)
    assert len(executor.ran) - before == (len(rows) - 1) * len(splits)
    accuracy = float(np.concatenate(judged.oof.correct).mean())
    assert curve.points[-1].accuracy.mean == pytest.approx(accuracy)
    assert str(rows[-1]) in curve.sentence
    for point in curve.points:
        assert 0 <= point.accuracy.low <= point.accuracy.mean <= point.accuracy.high <= 1


ROWS = np.asarray([20.0, 40.0, 80.0, 160.0, 320.0])


def test_a_power_law_is_found_again():
    laws = np.asarray([[0.9, 2.0, 0.7], [0.6, 1.0, 0.3], [1.0, 0.0, 0.1]])
    found = fit_power_laws(ROWS, np.stack([power_law(ROWS, *law) for law in laws]))
    np.testing.assert_allclose(found[:2], laws[:2], atol=1e-9)
    np.testing.assert_allclose(found[2, :2], laws[2, :2], atol=1e-9)


def test_the_forecast_is_of_twice_all_rows_and_known_no_better_than_the_last_point():
    """Folds learn from 320 of 640 rows: what is expected of 1,280 is told as more than 640 give, not 320."""
    law = (0.9, 2.0, 0.7)
    noise = np.random.default_rng(1).normal(0, 0.01, (5, 10))
    laws = laws_of(ROWS, power_law(ROWS, *law)[:, None] + noise, 0)
    last = Point(320, Interval(0.86, 0.8, 0.9, 0.95, "any"))
    plain, _ = ahead(laws, last, 640, 1.0)
    forecast, gain = ahead(laws, last, 640, 2.0)
    assert forecast.rows == 1280
    assert forecast.accuracy.mean == pytest.approx(float(power_law(np.asarray(1280.0), *law)), abs=0.015)
    assert gain.mean == pytest.approx(float(np.diff(power_law(np.asarray([640.0, 1280.0]), *law))[0]), abs=0.01)
    assert gain.low < gain.mean < gain.high
    assert forecast.accuracy.mean - forecast.accuracy.low > 0.06
    assert forecast.accuracy.high - forecast.accuracy.mean > 0.04
    assert plain.accuracy.low > forecast.accuracy.low, "splits that share rows say less than they seem to"


def test_no_power_law_within_the_bounds_is_nearer():
    """Also where the points fall, leap, or lie beyond what a share can be."""
    rng = np.random.default_rng(0)
    scores_BP = np.vstack([rng.random((20, 5)), np.linspace(1, 0, 5), np.eye(5) * 3, -np.eye(5)])
    found = fit_power_laws(ROWS, scores_BP)
    tried = np.stack([rng.uniform(0, 1, 4000), 50 * rng.uniform(0, 1, 4000) ** 3, rng.uniform(0.1, 2, 4000)], axis=1)
    for law, scores in zip(found, scores_BP, strict=True):
        assert 0 <= law[0] <= 1
        assert 0 <= law[1] <= 50
        error = ((power_law(ROWS, *law) - scores) ** 2).sum()
        assert all(((power_law(ROWS, *other) - scores) ** 2).sum() > error - 1e-4 for other in tried)
