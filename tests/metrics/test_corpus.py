from __future__ import annotations

import numpy as np
import pytest

from fewtune.metrics.base import cluster_index
from fewtune.metrics.corpus import RowStatistics, mean_of, ratio, unit_extremes


def test_the_score_is_of_the_sum_and_not_the_mean_of_rows():
    score = RowStatistics("r", np.array([[1.0, 2.0], [0.0, 8.0]]), ratio)
    assert score.value() == pytest.approx(0.1)
    assert score.values_N().tolist() == [0.5, 0.0]


def test_a_draw_counts_rows_as_often_as_it_says():
    rng = np.random.default_rng(0)
    stats_NF = rng.random((7, 2))
    score = RowStatistics("r", stats_NF, ratio)
    times_DN = rng.integers(0, 3, (5, 7)).astype(float)
    found = score.of_draws(times_DN, np.arange(7))
    for times_N, value in zip(times_DN, found, strict=True):
        rows = np.repeat(np.arange(7), times_N.astype(int))
        assert value == pytest.approx(stats_NF[rows, 0].sum() / stats_NF[rows, 1].sum())


def test_rows_of_a_cluster_are_counted_together():
    cluster_N = cluster_index(["a", None, "a", "b"], 4)
    score = mean_of("m", [1.0, 0.5, 0.0, 1.0])
    assert score.by_cluster(cluster_N).tolist() == [[1.0, 2.0], [0.5, 1.0], [1.0, 1.0]]
    assert score.of_draws(np.array([[2.0, 1.0, 0.0]]), cluster_N).tolist() == [2.5 / 5]


def test_a_draw_with_nothing_to_divide_by_is_no_number():
    score = RowStatistics("r", np.array([[0.0, 0.0], [1.0, 2.0]]), ratio)
    found = score.of_draws(np.array([[2.0, 0.0], [1.0, 1.0]]), np.arange(2))
    assert np.isnan(found[0])
    assert found[1] == 0.5


def test_swaps_move_whole_clusters_from_one_to_the_other():
    cluster_N = np.array([0, 0, 1])
    a, b = mean_of("m", [1.0, 1.0, 0.0]), mean_of("m", [0.0, 0.0, 0.0])
    mine, theirs = a.of_swaps(b, np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]), cluster_N)
    assert mine == pytest.approx([2 / 3, 0, 0])
    assert theirs == pytest.approx([0, 2 / 3, 2 / 3])


def test_only_zeros_and_ones_are_a_rate():
    assert mean_of("m", [0, 1, 1]).is_rate
    assert not mean_of("m", [0, 0.5]).is_rate
    assert not RowStatistics("r", np.array([[1.0, 2.0], [0.0, 2.0]]), ratio, extremes=unit_extremes).is_rate
    # A loss of one nat over one token looks like a rate and is none.
    assert not RowStatistics("loss", np.array([[1.0, 1.0], [0.0, 1.0]]), ratio).is_rate


def test_extremes_of_a_share():
    low, high = unit_extremes(np.array([3.0, 1.0, 4.0]))
    assert (low.tolist(), high.tolist()) == ([0.0, 1.0, 4.0], [4.0, 1.0, 4.0])


def test_parts_are_summed_by_name():
    score = RowStatistics("r", np.array([[1.0, 2.0], [3.0, 4.0]]), ratio, parts={"under": 1})
    assert score.sums() == {"under": 6.0}
