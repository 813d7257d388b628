"""Intervals, power and areas: held against values worked by hand, against simulation and against each other."""

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


def test_widths_worked_by_hand():
    """z = 1.95996. At a share of one half Wilson's half width is z / (2 √(n + z²)), so ±5 points take 99 z² rows."""
    assert half_width(0.5, 96) == pytest.approx(1.95996 / (2 * 9.99207), abs=1e-5)
    assert rows_for_half_width(0.5, 0.05) == 381  # 99 · 3.84146 = 380.3
    assert rows_for_half_width(0.5, 0.05, effect=2.0) == 761  # twice 380.3 = 760.6
    # A share of 1: the lower bound is n / (n + z²), so the half width is z² / (2 (n + z²)).
    assert rows_for_half_width(1.0, 0.05) == 35  # 9 · 3.84146 = 34.6


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


def test_gains_worked_by_hand():
    """Student's t with 9 degrees of freedom: 2.26216 at .975 and 0.88340 at .8, together 3.14556, squared 9.89455."""
    told = {"effect": 1.75, "freedom": 9}
    # 9.89455 · 1.75 · (0.2 − 0.03²) / 0.03² = 3830.5
    assert rows_for_gain(0.03, 0.2, **told) == 3831
    # 9.89455 · 1.75 / 1000 = 0.0173155; √(0.0173155 · 0.2 / 1.0173155) = 0.05834
    assert smallest_gain(1000, 0.2, **told) == pytest.approx(0.05834, abs=1e-5)
    # A gain of 0 is found as often as a two-sided test at 95 % errs on one side.
    assert power_to_see(0.0, 1000, 0.2, **told) == pytest.approx(0.025, abs=1e-9)
    # 5 folds twice: 1/2 + 5/4; 10 folds once: 1 + 10/9.
    assert cross_validation_effect(5, 2) == 1.75
    assert cross_validation_effect(10, 1) == pytest.approx(2.11111, abs=1e-5)


def test_gain_rows_and_power_agree():
    told = {"effect": 1.75, "freedom": 9}
    rows = rows_for_gain(0.03, 0.2, **told)
    assert smallest_gain(rows, 0.2, **told) == pytest.approx(0.03, abs=2e-4)
    assert power_to_see(0.03, rows, 0.2, **told) == pytest.approx(0.8, abs=0.01)
    assert power_to_see(0.03, rows / 10, 0.2, **told) < 0.3
    assert smallest_gain(rows / 4, 0.2, **told) > 0.05


def found_better(rows, gain, differing, draws=200):
    """How often the paired test calls the better of two candidates better, on plain test sets drawn anew."""
    rng, better = np.random.default_rng(0), 0
    for _ in range(draws):
        kind = rng.choice(3, size=rows, p=[(differing + gain) / 2, (differing - gain) / 2, 1 - differing])
        a, b = (kind == 0).astype(float), (kind == 1).astype(float)
        better += compare([a], [b], [np.arange(rows)], rows=rows).verdict == "better"
    return better / draws


def test_the_power_is_what_the_paired_test_has():
    """On a plain test set, where the formula's effect is 1: candidates that differ on a fifth of the rows."""
    rows, gain, differing = 400, 0.07, 0.2
    expected = power_to_see(gain, rows, differing, effect=1.0, freedom=rows - 1)
    assert found_better(rows, gain, differing) == pytest.approx(expected, abs=0.08)


def test_the_smallest_gain_is_found_four_times_in_five_and_half_of_it_is_not():
    gain = smallest_gain(300, 0.3, effect=1.0, freedom=299)
    assert found_better(300, gain, 0.3) == pytest.approx(0.8, abs=0.08)
    assert found_better(300, gain / 2, 0.3) < 0.45


def test_so_many_rows_are_enough_to_find_the_gain_four_times_in_five():
    rows = rows_for_gain(0.1, 0.3, effect=1.0, freedom=200)
    assert found_better(rows, 0.1, 0.3) == pytest.approx(0.8, abs=0.08)


def test_the_area_counts_pairs():
    positive, negative = np.array([3.0, 1.0, 2.0, 2.0]), np.array([0.0, 2.0, 1.0])
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert area_under_curve(positive, negative).auc == pytest.approx(np.mean(pairs))


def test_the_areas_variance_is_that_of_repeated_draws():
    rng = np.random.default_rng(1)
    found = [area_under_curve(rng.normal(0.8, 1, 60), rng.normal(0, 1, 90)) for _ in range(400)]
    assert np.mean([one.variance for one in found]) == pytest.approx(np.var([one.auc for one in found]), rel=0.15)
