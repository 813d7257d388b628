from __future__ import annotations

import json

import numpy as np
import pytest
from metrics_worlds import World, cross_validate, make_splits, right
from scipy import stats

from fewtune.metrics.paired import compare, compare_scores, constant_scores, paired_error, stretched_error


def folds_of(rows, folds=5, repeats=2):
    return [np.flatnonzero(np.arange(rows) % folds == fold) for _ in range(repeats) for fold in range(folds)]


def split(values_N, held_out):
    return [np.asarray(values_N, dtype=float)[rows] for rows in held_out]


def test_t_test_by_hand():
    held_out, rng = folds_of(100), np.random.default_rng(0)
    # A's fits collapse on two splits: the spread between splits is far above that of drawing rows.
    a = [(rng.random(20) < share).astype(float) for share in [0.9] * 8 + [0.3] * 2]
    b = [(rng.random(20) < 0.5).astype(float) for _ in held_out]
    difference_J = np.array([x.mean() - y.mean() for x, y in zip(a, b, strict=True)])
    error = np.sqrt((1 / 10 + 1 / 4) * difference_J.var(ddof=1))
    found = compare(a, b, held_out)
    assert found.difference == pytest.approx(difference_J.mean())
    assert found.p == pytest.approx(2 * stats.t.sf(difference_J.mean() / error, 9))


def test_variance_is_never_below_that_of_drawing_rows():
    # 40 of 100 rows differ, eight in each split of every repeat: s² is 0, but other rows would give another share.
    held_out, b = folds_of(100), np.ones(100)
    b[:40] = 0
    found = compare(split(np.ones(100), held_out), split(b, held_out), held_out)
    error = np.sqrt(0.4 * 0.6 / 99)
    half = stats.t.ppf(0.975, 9) * error
    assert (found.low, found.high) == pytest.approx((0.4 - half, 0.4 + half))
    assert found.verdict == "better"


def test_compare_scores_is_the_corrected_resampled_t_test():
    held_out = folds_of(100)
    a, b = np.linspace(0.7, 0.9, 10), np.linspace(0.2, 0.9, 10)[::-1]
    error = np.sqrt((1 / 10 + 1 / 4) * (a - b).var(ddof=1))
    found = compare_scores(a, b, held_out)
    assert found.p == pytest.approx(2 * stats.t.sf((a - b).mean() / error, 9))
    half = stats.t.ppf(0.975, 9) * error
    assert (found.low, found.high) == pytest.approx(((a - b).mean() - half, (a - b).mean() + half))


def test_swapping_the_two_mirrors_everything():
    held_out, rng = folds_of(60), np.random.default_rng(1)
    a, b = split(rng.random(60) < 0.9, held_out), split(rng.random(60) < 0.4, held_out)
    forth, back = compare(a, b, held_out), compare(b, a, held_out)
    assert (forth.difference, forth.low, forth.p) == pytest.approx((-back.difference, -back.high, back.p))
    assert (forth.verdict, back.verdict) == ("better", "worse")
    assert compare(a, b, held_out, higher_is_better=False).verdict == "worse"


def test_identical_candidates_cannot_be_told_apart_and_keep_a_width():
    held_out = folds_of(50)
    found = compare(split(np.ones(50), held_out), split(np.ones(50), held_out), held_out)
    assert (found.difference, found.p, found.verdict) == (0, 1, "cannot be told apart")
    assert found.low < 0 < found.high
    assert found.rows_needed > 50
    assert found.rows_needed_for == 0.03
    assert found.minimum_detectable_difference > 0


@pytest.mark.parametrize(("rows", "verdict"), [(4, "cannot be told apart"), (5, "cannot be told apart"), (6, "better")])
def test_without_variance_the_exact_sign_test_over_rows_decides(rows, verdict):
    # A right and B wrong on every row: no variance anywhere; p = 2 · 0.5^rows.
    held_out = folds_of(rows, folds=2, repeats=5)
    found = compare(split(np.ones(rows), held_out), split(np.zeros(rows), held_out), held_out)
    assert found.p == pytest.approx(2 * 0.5**rows)
    assert found.verdict == verdict
    assert np.isfinite([found.low, found.high, found.minimum_detectable_difference]).all()


def test_two_identical_splits_are_no_proof():
    held_out = [np.arange(0, 4), np.arange(4, 8)]
    a, b = [np.ones(4)] * 2, [np.array([1.0, 1, 1, 0])] * 2
    found = compare(a, b, held_out)
    assert found.verdict == "cannot be told apart"
    assert found.p == pytest.approx(0.5)
    assert compare_scores([1, 1], [0.75, 0.75], held_out).verdict == "cannot be told apart"


def test_repeats_give_a_row_one_vote():
    # Five rows differ, each in all ten repeats: still five votes.
    held_out = folds_of(20, folds=5, repeats=10)
    b = np.ones(20)
    b[:5] = 0
    found = compare(split(np.ones(20), held_out), split(b, held_out), held_out)
    assert found.p == pytest.approx(2 * 0.5**5)
    assert found.verdict == "cannot be told apart"


def test_duplicates_give_a_group_one_vote():
    held_out = [np.flatnonzero(np.arange(30) // 6 == fold) for fold in range(5)]
    b = np.ones(30)
    b[:12] = 0
    free = compare(split(np.ones(30), held_out), split(b, held_out), held_out)
    tied = compare(split(np.ones(30), held_out), split(b, held_out), held_out, groups=list(np.arange(30) // 6))
    assert tied.p >= 0.5 >= free.p


def test_verdict_p_and_interval_always_agree():
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows = int(rng.integers(8, 80))
        held_out = folds_of(rows, folds=4)
        a = [(rng.random(len(rows_B)) < 0.8).astype(float) for rows_B in held_out]
        b = [(rng.random(len(rows_B)) < rng.choice([0.3, 0.8])).astype(float) for rows_B in held_out]
        found = compare(a, b, held_out)
        assert (found.p < 0.05) == (found.verdict != "cannot be told apart")
        assert (found.low > 0 or found.high < 0) == (found.p < 0.05)
        assert (found.rows_needed is None) == (found.p < 0.05)
        json.dumps(found.to_json())


def test_rows_needed_shrink_with_the_difference_squared():
    held_out, rng = folds_of(200), np.random.default_rng(0)
    noise = rng.normal(size=10) * 0.1
    small = compare_scores(noise - noise.mean() + 0.02, np.zeros(10), held_out)
    large = compare_scores(noise - noise.mean() + 0.04, np.zeros(10), held_out)
    assert small.rows_needed == pytest.approx(4 * large.rows_needed, rel=0.01)
    assert small.minimum_detectable_difference == pytest.approx(large.minimum_detectable_difference)
    assert compare_scores(noise - noise.mean() + 0.001, np.zeros(10), held_out).rows_needed_for == 0.03


def test_losses_are_not_clipped_to_one():
    rng, held_out = np.random.default_rng(0), folds_of(50)
    found = compare(split(rng.random(50) * 9, held_out), split(rng.random(50) * 9, held_out), held_out)
    assert found.high - found.low > 2


def verdicts_on_losses(mean, trials=400, rows=16):
    """How often two candidates are told apart whose losses on a row differ by `mean`, give or take .05."""
    rng, held_out = np.random.default_rng(0), folds_of(rows, folds=4)
    found = []
    for _ in range(trials):
        hardness_N = -rng.gamma(4, 0.5, rows) - 0.5
        differs_N = rng.normal(mean, 0.05, rows)
        found.append(compare(split(hardness_N + differs_N, held_out), split(hardness_N, held_out), held_out).verdict)
    return {verdict: found.count(verdict) / trials for verdict in ("better", "worse")}


def test_a_small_but_steady_difference_of_losses_is_found_on_a_few_rows():
    # The floor under the variance of right and wrong is .08 on 16 rows: no difference of losses this small passed it.
    assert verdicts_on_losses(0.06)["better"] > 0.8


def test_equal_losses_are_rarely_told_apart():
    found = verdicts_on_losses(0.0)
    assert found["better"] <= 0.025 + 0.016
    assert found["worse"] <= 0.025 + 0.016


def test_the_error_of_losses_is_that_of_their_differences():
    held_out = folds_of(16, folds=4)
    rng = np.random.default_rng(1)
    a_N, b_N = rng.normal(-3, 0.02, 16), np.full(16, -3.0)
    _, of_losses = paired_error(split(a_N, held_out), split(b_N, held_out), held_out, rows=16)
    assert of_losses == pytest.approx(np.std(a_N, ddof=1) / 4, rel=0.5)
    _, of_shares = paired_error(split(b_N + 4, held_out), split(b_N + 4, held_out), held_out, rows=16)
    assert of_shares == pytest.approx(np.sqrt(2 / 20 / 16))


def false_positives(rows, trials, seed, shuffled, baseline="half"):
    """Share of 'better' and of 'worse' between two classifiers that are equally good by construction."""
    rng, better, worse = np.random.default_rng(seed), 0, 0
    for _ in range(trials):
        world = World(rng, width=10, distance=2.0)
        world.means_CD[:, 5:] = world.means_CD[:, :5]
        x_ND, labels_N = world.draw(rows)
        if shuffled:
            labels_N = rng.permutation(np.arange(rows) % 2)
        held_out = make_splits(labels_N, rng)
        a = cross_validate(x_ND[:, :5], labels_N, held_out, 2).correct
        if baseline == "constant":
            b = constant_scores(labels_N, held_out)
        else:
            b = cross_validate(x_ND[:, 5:], labels_N, held_out, 2).correct
        verdict = compare(a, b, held_out).verdict
        better, worse = better + (verdict == "better"), worse + (verdict == "worse")
    return better / trials, worse / trials


@pytest.mark.parametrize("rows", [16, 60])
@pytest.mark.parametrize("shuffled", [False, True])
def test_equal_classifiers_are_rarely_told_apart(rows, shuffled):
    better, worse = false_positives(rows, 250, seed=rows, shuffled=shuffled)
    # 2.5 % each way; the margin is two standard errors of 250 trials.
    assert better <= 0.025 + 0.02
    assert worse <= 0.025 + 0.02


def test_nothing_beats_a_constant_on_shuffled_labels():
    better, _ = false_positives(16, 200, seed=0, shuffled=True, baseline="constant")
    assert better <= 0.025


def test_constant_scores_answer_the_commonest_class_of_all_rows():
    scores = constant_scores([1, 1, 0, 1], [np.array([0, 2]), np.array([1, 3])])
    assert [s.tolist() for s in scores] == [[1, 0], [1, 1]]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [16, 40, 100])
@pytest.mark.parametrize("shuffled", [False, True])
def test_false_positive_rate_over_many_trials(rows, shuffled):
    better, worse = false_positives(rows, 3000, seed=1, shuffled=shuffled)
    assert max(better, worse) <= 0.025 + 0.006


def test_a_real_gain_is_found():
    rng, found = np.random.default_rng(0), 0
    for _ in range(30):
        world = World(rng, width=10, distance=4.0)
        x_ND, labels_N = world.draw(100)
        held_out = make_splits(labels_N, rng)
        a = cross_validate(x_ND, labels_N, held_out, 2).correct
        b = [right(labels_N[rows], rng.random((len(rows), 2))) for rows in held_out]
        found += compare(a, b, held_out).verdict == "better"
    assert found == 30


def test_a_stretched_error_does_not_hang_on_how_three_splits_fell():
    """The same rows dealt into three splits anew: the splits' error jumps, the rows' stays, stretched by √2.5."""
    rng = np.random.default_rng(0)
    a_N, b_N = rng.normal(1, 4, 60), np.zeros(60)
    errors = []
    for _ in range(20):
        held_out = np.split(rng.permutation(60), 3)
        given = split(a_N, held_out), split(b_N, held_out), held_out
        errors.append((paired_error(*given, rows=60)[1], stretched_error(*given, rows=60)[1]))
    of_splits, of_rows = np.asarray(errors).T
    np.testing.assert_allclose(of_rows, np.sqrt(2.5) * a_N.std(ddof=1) / np.sqrt(60))
    assert of_splits.max() > 1.5 * of_splits.min()
