from __future__ import annotations

import numpy as np
import pytest
from metrics_worlds import World, cross_validate, make_splits

from fewtune.metrics.base import row_means
from fewtune.metrics.selection import (
    bootstrap_bias_corrected,
    draw_counts,
    one_standard_error,
    one_standard_error_rule,
)


def test_equal_candidates_naive_winner_is_optimistic_and_the_corrected_is_not():
    rng, naive, corrected, held = np.random.default_rng(0), [], [], 0
    for _ in range(150):
        found = bootstrap_bias_corrected(rng.random((8, 60)) < 0.7, draws=200)
        naive.append(found.naive - 0.7)
        corrected.append(found.interval.mean - 0.7)
        held += found.interval.low <= 0.7 <= found.interval.high
    assert np.mean(naive) > 0.05
    assert abs(np.mean(corrected)) < 3 * np.std(corrected) / np.sqrt(150)
    assert held / 150 >= 0.93


def test_shuffled_labels_most_of_the_optimism_of_refitted_candidates_goes():
    rng, naive, corrected, held = np.random.default_rng(0), [], [], 0
    for _ in range(40):
        x_ND, labels_N = World(rng, width=20).draw(60)
        labels_N = rng.permutation(np.arange(60) % 2)
        held_out = make_splits(labels_N, rng)
        columns = [rng.choice(20, 5, replace=False) for _ in range(8)]
        correct = [cross_validate(x_ND[:, chosen], labels_N, held_out, 2).correct for chosen in columns]
        scores_RN = np.stack([row_means(c, held_out, 60) for c in correct])
        found = bootstrap_bias_corrected(scores_RN, draws=200, train_share=0.8)
        naive.append(found.naive - 0.5)
        corrected.append(found.interval.mean - 0.5)
        held += found.interval.low <= 0.5 <= found.interval.high
    assert np.mean(naive) > 0.05
    assert np.mean(corrected) < 0.5 * np.mean(naive)
    assert held / 40 >= 0.9


def test_a_clear_winner_keeps_its_score():
    rng = np.random.default_rng(0)
    scores = np.stack([rng.random(200) < share for share in (0.3, 0.9, 0.4)])
    found = bootstrap_bias_corrected(scores)
    assert found.selected == 1
    assert found.frequency_R[1] == 1
    assert abs(found.optimism) < 0.01
    assert found.interval.low < scores[1].mean() < found.interval.high


def test_ties_go_to_the_simplest():
    scores = np.tile(np.random.default_rng(0).random(40) < 0.7, (4, 1)) / 3
    assert bootstrap_bias_corrected(scores, draws=50).frequency_R == (1, 0, 0, 0)


def test_perfect_candidates_keep_a_width():
    found = bootstrap_bias_corrected(np.ones((3, 20)), draws=50)
    assert (found.interval.mean, found.interval.high) == (1, 1)
    assert found.interval.low < 0.9


def test_selection_sees_in_bag_rows_and_scores_the_rest():
    seen, scored = [], []

    def metric(candidate, rows):
        scored.append(set(rows.tolist()))
        return float(candidate)

    bootstrap_bias_corrected(
        np.zeros((2, 30)), select=lambda rows: seen.append(set(rows.tolist())) or 1, metric=metric, draws=10
    )
    for inside, outside in zip(seen[:10], scored[:10], strict=True):
        assert inside | outside == set(range(30))
        assert not inside & outside


def test_groups_are_never_on_both_sides():
    def select(rows):
        drawn = np.unique(rows // 5)
        assert set(rows.tolist()) == {5 * g + i for g in drawn for i in range(5)}
        return 0

    bootstrap_bias_corrected(np.zeros((2, 30)), select=select, groups=list(np.arange(30) // 5), draws=10)


def test_a_metric_of_means_gives_what_the_fast_way_gives():
    scores = (np.random.default_rng(0).random((3, 40)) < 0.7).astype(float)
    slow = bootstrap_bias_corrected(scores, metric=lambda r, rows: float(scores[r, rows].mean()), draws=60)
    fast = bootstrap_bias_corrected(scores, draws=60)
    assert slow.interval.mean == pytest.approx(fast.interval.mean)
    assert slow.frequency_R == fast.frequency_R


def test_two_clusters_always_leave_one_out():
    times = draw_counts(2, 100, seed=0)
    assert (times.min(axis=1) == 0).all()
    assert (times.sum(axis=1) == 2).all()


def test_one_standard_error_by_hand():
    # Differences to the best (last) are .1 and .02 with s = .1 and .05: errors .1·√(1/4+1/4)=.0707 and .0354.
    noise = np.array([1, -1, 1, -1]) * np.sqrt(3) / 2
    best = np.array([0.9, 0.8, 0.9, 0.8])
    scores = np.stack([best - 0.1 - 0.1 * noise, best - 0.02 - 0.05 * noise, best])
    assert one_standard_error(scores, test_to_train=0.25) == 1
    assert one_standard_error(scores[[1, 0, 2]], test_to_train=0.25) == 0
    assert one_standard_error(scores[[0, 2]], test_to_train=0.25) == 1


def test_one_standard_error_is_paired():
    # Both move by 30 points between splits, but always together: the second is surely better.
    splits = np.array([0.5, 0.8, 0.6, 0.9])
    assert one_standard_error([splits, splits + 0.05], test_to_train=0.25) == 1


def test_one_standard_error_rule_on_all_rows_is_one_standard_error():
    rng, held_out = np.random.default_rng(0), [np.arange(f, 50, 5) for f in range(5)]
    scores = [[(rng.random(10) < 0.5 + 0.1 * r).astype(float) for _ in held_out] for r in range(4)]
    rule = one_standard_error_rule(scores, held_out, rows=50, test_to_train=0.25)
    by_split = np.array([[s.mean() for s in candidate] for candidate in scores])
    assert rule(np.arange(50)) == one_standard_error(by_split, test_to_train=0.25)
    means = np.stack([row_means(candidate, held_out, 50) for candidate in scores])
    found = bootstrap_bias_corrected(means, select=rule, draws=50)
    assert found.selected == rule(np.arange(50))
    assert sum(found.frequency_R) == pytest.approx(1)
