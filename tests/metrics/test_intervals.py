from __future__ import annotations

import numpy as np
import pytest
from metrics_worlds import World, cross_validate, fit, make_splits, predict, right
from scipy import stats

from fewtune.metrics.base import OutOfFold
from fewtune.metrics.classification import SUMMARY, classification_scores
from fewtune.metrics.intervals import (
    accuracy_interval,
    class_intervals,
    cluster_variance,
    correction,
    design_effect,
    effective_rows,
    metric_interval,
    score_intervals,
    train_share,
    wilson,
)


def halves(rows, folds=5, repeats=2):
    return [np.flatnonzero(np.arange(rows) % folds == fold) for _ in range(repeats) for fold in range(folds)]


@pytest.mark.parametrize(("right_rows", "rows"), [(0, 10), (7, 10), (95, 100), (20, 20)])
def test_wilson_is_scipys(right_rows, rows):
    expected = stats.binomtest(right_rows, rows).proportion_ci(method="wilson")
    assert wilson(right_rows / rows, rows) == pytest.approx((expected.low, expected.high))


def test_wilson_of_no_rows_knows_nothing():
    assert wilson(0.5, 0) == (0.0, 1.0)


def test_corrections_of_five_by_two_splits():
    held_out = halves(100)
    assert correction(held_out, 100) == pytest.approx(1 / 10 + 1 / 4)
    assert design_effect(held_out, 100) == pytest.approx(1.75)
    assert train_share(held_out, 100) == pytest.approx(0.8)


def test_a_test_set_is_not_corrected():
    held_out = [np.arange(50)]
    assert (correction(held_out, 50), design_effect(held_out, 50), train_share(held_out, 50)) == (1, 1, 1)
    interval = accuracy_interval([np.repeat([1.0, 0.0], [40, 10])], held_out)
    assert (interval.low, interval.high) == pytest.approx(wilson(0.8, 50))


def test_effective_rows_is_kishs_count_of_clusters():
    assert effective_rows(np.ones(6), np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(3)
    assert effective_rows(np.ones(6), np.array([0, 0, 0, 0, 1, 2])) == pytest.approx(36 / 18)
    assert effective_rows(np.zeros(3), np.arange(3)) == 0


def test_cluster_variance_of_single_rows_is_the_variance_of_a_mean():
    values = np.random.default_rng(0).random(30)
    assert cluster_variance(values, np.arange(30)) == pytest.approx(values.var(ddof=1) / 30)
    doubled = cluster_variance(np.repeat(values, 2), np.repeat(np.arange(30), 2))
    assert doubled == pytest.approx(values.var(ddof=1) / 30)


def test_accuracy_interval_is_nadeau_bengio_by_hand_where_that_is_wider():
    held_out = halves(50, repeats=1)
    correct = [np.repeat([1.0, 0.0], [k, 10 - k]) for k in (2, 9, 5, 10, 4)]
    scores = np.array([0.2, 0.9, 0.5, 1.0, 0.4])
    half = stats.t.ppf(0.975, 4) * np.sqrt((1 / 5 + 1 / 4) * scores.var(ddof=1))
    interval = accuracy_interval(correct, held_out)
    assert (interval.mean, interval.low, interval.high) == pytest.approx((0.6, max(0, 0.6 - half), min(1, 0.6 + half)))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_accuracy_interval_is_never_degenerate(share):
    # 40 rows, every split scoring the same: s² is 0.
    held_out = halves(40, folds=5)
    correct = [np.repeat([1.0, 0.0], [round(8 * share), 8 - round(8 * share)]) for _ in held_out]
    interval = accuracy_interval(correct, held_out)
    assert (interval.low, interval.high) == pytest.approx(wilson(share, 32))
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1


def test_duplicates_count_once():
    single, doubled = halves(20), [np.concatenate([rows, rows + 20]) for rows in halves(20)]
    one = accuracy_interval([np.ones(4)] * 10, single)
    two = accuracy_interval([np.ones(8)] * 10, doubled, groups=list(range(20)) * 2)
    assert (one.low, one.high) == pytest.approx((two.low, two.high))
    assert accuracy_interval([np.ones(8)] * 10, doubled).low > two.low


def some_oof(rows=60, classes=3, seed=0, groups=None, distance=2.0):
    rng = np.random.default_rng(seed)
    x_ND, labels_N = World(rng, classes=classes, distance=distance).draw(rows)
    oof = cross_validate(x_ND, labels_N, make_splits(labels_N, rng), classes)
    return OutOfFold(oof.labels_N, oof.held_out, oof.probs, groups)


def test_score_intervals_hold_the_pooled_score_and_stay_in_bounds():
    oof = some_oof()
    scores = classification_scores(oof.labels_M, oof.probs_MC, "abc", weights_N=np.full(len(oof.rows_M), 0.5))
    intervals = score_intervals(oof, draws=200)
    assert list(intervals) == list(SUMMARY)
    for name, interval in intervals.items():
        assert interval.mean == pytest.approx(getattr(scores, name))
        assert interval.low < interval.mean < interval.high
    assert intervals["mcc"].high <= 1
    assert intervals["ece"].low >= 0


def test_perfect_predictions_still_have_width():
    labels = np.arange(30) % 3
    oof = OutOfFold.from_folds(labels, np.tile(np.arange(30) // 3 % 5, (2, 1)), np.tile(np.eye(3)[labels], (2, 1, 1)))
    intervals = score_intervals(oof, draws=50)
    for name in ("accuracy", "macro_f1", "weighted_f1", "mcc", "macro_precision", "balanced_accuracy"):
        assert intervals[name].high == 1
        assert intervals[name].low < 0.95
    assert intervals["log_loss"].high > 0.05
    for by_name in class_intervals(oof):
        assert all(interval.low < 0.8 and interval.high == 1 for interval in by_name.values())


def test_metric_interval_is_the_bootstrap_of_score_intervals_without_its_floor():
    oof = some_oof()
    names = ["a", "b", "c"]
    mine = metric_interval(
        lambda labels, probs: classification_scores(labels, probs, names).macro_f1, oof, draws=400, seed=1
    )
    theirs = score_intervals(oof, draws=400, seed=1)["macro_f1"]
    assert mine.mean == pytest.approx(theirs.mean)
    assert theirs.low - 1e-9 <= mine.low < mine.mean < mine.high <= theirs.high + 1e-9
    assert mine.width > 0.8 * theirs.width


def test_groups_widen_a_bootstrap():
    plain, grouped = some_oof(), some_oof(groups=list(np.arange(60) // 6))
    width = score_intervals(plain, draws=200)["log_loss"].width
    # Rows of a group are drawn together; random groups leave the spread about as it is, twins double the variance.
    assert score_intervals(grouped, draws=200)["log_loss"].width > 0.6 * width
    twins = OutOfFold(
        np.tile(plain.labels_N, 2),
        tuple(np.concatenate([rows, rows + 60]) for rows in plain.held_out),
        tuple(np.concatenate([probs, probs]) for probs in plain.probs),
        list(range(60)) * 2,
    )
    assert score_intervals(twins, draws=200)["log_loss"].width == pytest.approx(width, rel=0.1)


def test_same_seed_same_interval():
    oof = some_oof()
    assert score_intervals(oof, draws=50, seed=3) == score_intervals(oof, draws=50, seed=3)
    assert score_intervals(oof, draws=50, seed=3) != score_intervals(oof, draws=50, seed=4)


def test_f1_interval_goes_through_the_share_of_true_positives():
    # A test set: class 0 has 10 true positives, 2 missed, 3 called wrongly: 10 of 15 rows concerned.
    labels, predicted = np.repeat([0, 0, 1, 1], [10, 2, 3, 20]), np.repeat([0, 1, 0, 1], [10, 2, 3, 20])
    f1 = class_intervals(OutOfFold(labels, (np.arange(35),), (np.eye(2)[predicted],)))[0]["f1"]
    low, high = wilson(10 / 15, 15)
    assert (f1.mean, f1.low, f1.high) == pytest.approx((20 / 25, 2 * low / (1 + low), 2 * high / (1 + high)))


def coverage(rows, classes, width, distance, trials, seed=0, names=("accuracy",), draws=200):
    """How often the interval holds the true score of the model refitted on all rows, and how wide it is."""
    rng, hits, widths = np.random.default_rng(seed), np.zeros(len(names)), np.zeros(len(names))
    for _ in range(trials):
        world = World(rng, classes, width, distance)
        (x_ND, labels_N), (x_test, labels_test) = world.draw(rows), world.draw(2000)
        oof = cross_validate(x_ND, labels_N, make_splits(labels_N, rng), classes)
        probs_test = predict(fit(x_ND, labels_N, classes), x_test)
        if names == ("accuracy",):
            found = {"accuracy": accuracy_interval(oof.correct, oof.held_out)}
            truth = {"accuracy": right(labels_test, probs_test).mean()}
        else:
            found = score_intervals(oof, draws=draws)
            truth = classification_scores(labels_test, probs_test, list(map(str, range(classes)))).to_json()
        for i, name in enumerate(names):
            hits[i] += found[name].low <= truth[name] <= found[name].high
            widths[i] += found[name].width
    return hits / trials, widths / trials


@pytest.mark.parametrize(
    ("rows", "classes", "width", "distance", "widest"),
    [(40, 2, 10, 1.5, 0.40), (40, 2, 50, 3.0, 0.22), (100, 4, 20, 2.5, 0.24), (200, 4, 20, 2.5, 0.16)],
)
def test_accuracy_interval_covers_the_truth_of_refitted_classifiers(rows, classes, width, distance, widest):
    covered, mean_width = coverage(rows, classes, width, distance, trials=250)
    assert covered[0] >= 0.93
    assert mean_width[0] <= widest


def test_bootstrap_intervals_cover_the_truth_of_refitted_classifiers():
    names = ("macro_f1", "mcc", "balanced_accuracy", "log_loss")
    covered, _ = coverage(60, 3, 10, 2.0, trials=100, names=names, draws=100)
    assert (covered >= 0.92).all(), dict(zip(names, covered, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [20, 40, 100, 200])
@pytest.mark.parametrize(("classes", "width", "distance"), [(2, 10, 1.5), (2, 50, 3.0), (4, 20, 2.5)])
def test_intervals_cover_the_truth_everywhere(rows, classes, width, distance):
    covered, _ = coverage(rows, classes, width, distance, trials=1000)
    assert covered[0] >= 0.94
    names = ("macro_f1", "mcc", "log_loss", "brier", "weighted_f1")
    covered, _ = coverage(rows, classes, width, distance, trials=300, names=names)
    assert (covered >= 0.9).all(), dict(zip(names, covered, strict=True))
