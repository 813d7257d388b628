"""Intervals, power and areas: held against simulation and against each other."""

import numpy as np
import pytest
from scipy import stats

from fewtune.chance import (
    area_under_curve,
    cross_validation_effect,
    half_width,
    power_to_see,
    rows_for_gain,
    rows_for_half_width,
    smallest_gain,
    wilson,
)
from fewtune.metrics.intervals import design_effect
from fewtune.metrics.paired import compare


def test_wilson_is_scipys():
    for right, rows in ((0, 5), (3, 7), (50, 60), (9, 9)):
        found = stats.binomtest(right, rows).proportion_ci(0.95, method="wilson")
        assert wilson(right / rows, rows) == pytest.approx((found.low, found.high), abs=1e-9)
    assert wilson(0.5, 0) == (0.0, 1.0)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("effect", [1.0, 1.75])
def test_rows_for_a_width_are_the_fewest(share, effect):
    rows = rows_for_half_width(share, 0.05, effect=effect)
    assert half_width(share, rows / effect) <= 0.05
    assert half_width(share, (rows - 1) / effect) > 0.05


def test_the_effect_is_that_of_the_metrics():
    held = [np.arange(fold, 100, 5) for _ in range(2) for fold in range(5)]
    assert cross_validation_effect(5, 2) == pytest.approx(design_effect(held, 100)) == pytest.approx(1.75)
    assert cross_validation_effect(5, 1) == pytest.approx(design_effect(held[:5], 100))


def test_gain_rows_and_power_agree():
    told = {"effect": 1.75, "freedom": 9}
    rows = rows_for_gain(0.03, 0.2, **told)
    assert smallest_gain(rows, 0.2, **told) == pytest.approx(0.03, abs=2e-4)
    assert power_to_see(0.03, rows, 0.2, **told) == pytest.approx(0.8, abs=0.01)
    assert power_to_see(0.03, rows / 10, 0.2, **told) < 0.3
    assert smallest_gain(rows / 4, 0.2, **told) > 0.05


def test_the_power_is_what_the_paired_test_has():
    """On a plain test set, where the formula's effect is 1: candidates that differ on a fifth of the rows."""
    rng, rows, gain, differing = np.random.default_rng(0), 400, 0.07, 0.2
    better = 0
    for _ in range(200):
        kind = rng.choice(3, size=rows, p=[(differing + gain) / 2, (differing - gain) / 2, 1 - differing])
        a, b = (kind == 0).astype(float), (kind == 1).astype(float)
        better += compare([a], [b], [np.arange(rows)], rows=rows).verdict == "better"
    assert better / 200 == pytest.approx(power_to_see(gain, rows, differing, effect=1.0, freedom=rows - 1), abs=0.08)


def test_the_area_counts_pairs():
    positive, negative = np.array([3.0, 1.0, 2.0, 2.0]), np.array([0.0, 2.0, 1.0])
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert area_under_curve(positive, negative).auc == pytest.approx(np.mean(pairs))


def test_the_areas_variance_is_that_of_repeated_draws():
    rng = np.random.default_rng(1)
    found = [area_under_curve(rng.normal(0.8, 1, 60), rng.normal(0, 1, 90)) for _ in range(400)]
    assert np.mean([one.variance for one in found]) == pytest.approx(np.var([one.auc for one in found]), rel=0.15)
