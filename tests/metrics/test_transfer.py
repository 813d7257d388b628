"""Backward transfer, forgetting and forward transfer, by hand."""

import numpy as np
import pytest

from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.transfer import mean_saving, transfer

BYTES = 10


def costs(level, spread=0.0, rows=40, seed=0):
    """Rows that cost about `level` bits a byte."""
    bits_N = level + np.random.default_rng(seed).normal(0, spread, rows)
    return Likelihoods.of(bits_N * BYTES * np.log(2), np.full(rows, 5), bytes_N=np.full(rows, BYTES))


def table(levels, **options):
    return [[costs(level, **options) for level in row] for row in levels]


THREE = [[4.0, 5.0, 6.0], [1.0, 4.5, 6.0], [2.5, 1.5, 5.0], [2.0, 2.5, 1.0]]
"""R[s, t] of three stages."""


def test_the_numbers_are_those_of_the_definitions():
    found = transfer(table(THREE))
    assert found.backward.mean == pytest.approx(((1.0 - 2.0) + (1.5 - 2.5)) / 2)
    assert found.forgetting.mean == pytest.approx(((2.0 - 1.0) + (2.5 - 1.5)) / 2)
    assert found.forward.mean == pytest.approx(((5.0 - 4.5) + (6.0 - 5.0)) / 2)


def test_forgetting_counts_from_the_best_the_model_ever_was():
    found = transfer(table([[4.0, 5.0, 6.0], [2.0, 5.0, 6.0], [1.0, 2.0, 6.0], [3.0, 2.0, 1.0]]))
    assert found.forgetting.mean == pytest.approx(((3.0 - 1.0) + 0.0) / 2)
    assert found.backward.mean == pytest.approx(((2.0 - 3.0) + 0.0) / 2)


def test_rows_that_are_hard_for_both_models_widen_no_interval():
    hard = [[costs(level, spread=0.2, seed=stage) for stage, level in enumerate(row)] for row in THREE]
    found = transfer(hard, seed=1)
    assert found.backward.high - found.backward.low < 1e-6
    assert found.backward.low <= found.backward.mean <= found.backward.high


def test_the_interval_holds_the_truth_as_often_as_it_says():
    held = 0
    for trial in range(200):
        pairs = [
            (costs(2.0, 0.3, rows=30, seed=4 * trial + side), costs(1.8, 0.3, rows=30, seed=4 * trial + side + 2), None)
            for side in range(2)
        ]
        found = mean_saving(pairs, draws=300, seed=trial)
        held += found.low <= 0.2 <= found.high
    assert 0.9 <= held / 200 <= 0.995


def test_rows_of_a_group_count_as_one():
    pair = costs(2.0, 0.3, seed=1), costs(1.8, 0.3, seed=2)
    alone = mean_saving([(*pair, None)])
    grouped = mean_saving([(*pair, [row // 8 for row in range(40)])])
    assert grouped.mean == alone.mean
    assert "5 clusters" in grouped.method
    one = mean_saving([(*pair, ["same"] * 40)])
    assert (one.low, one.high) == (-np.inf, np.inf)


def test_the_same_seed_gives_the_same_interval():
    assert transfer(table(THREE, spread=0.2), seed=4) == transfer(table(THREE, spread=0.2), seed=4)
