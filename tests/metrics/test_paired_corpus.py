from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from text_worlds import one_each, sentences, spoiled

from fewtune.metrics.corpus import mean_of
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.ngrams import bleu
from fewtune.metrics.paired_corpus import compare_texts, paired_bootstrap, randomisation_test

FAST = {"draws": 300, "swaps": 300}


def bleus(rng, rows, rate_a, rate_b):
    given = sentences(rng, rows)
    return [bleu(spoiled(rng, given, rate), one_each(given)) for rate in (rate_a, rate_b)]


@pytest.mark.parametrize("rows", [12, 60])
def test_equal_systems_are_told_apart_as_seldom_as_promised(rows):
    rng, told, swapped, drawn = np.random.default_rng(rows), [], [], []
    for trial in range(120):
        a, b = bleus(rng, rows, 0.3, 0.3)
        told.append(compare_texts(a, b, seed=trial, **FAST).verdict != "cannot be told apart")
        swapped.append(randomisation_test(a, b, swaps=300, seed=trial) < 0.05)
        drawn.append(paired_bootstrap(a, b, draws=300, seed=trial).p < 0.05)
    # 5 % of 120 trials, and three standard errors.
    assert np.mean(told) <= 0.11
    assert np.mean(swapped) <= 0.11
    # Koehn's test alone is a little too sure of itself on few rows, which is why it does not decide alone.
    assert np.mean(drawn) <= 0.15


def test_systems_that_differ_are_told_apart():
    rng = np.random.default_rng(1)
    pairs = [bleus(rng, 80, 0.2, 0.4) for _ in range(40)]
    found = [compare_texts(a, b, **FAST).verdict for a, b in pairs]
    assert found.count("better") >= 36
    assert "worse" not in found
    # Asking both tests costs next to nothing against asking the one.
    alone = [randomisation_test(a, b, swaps=300) < 0.05 for a, b in pairs]
    assert found.count("better") >= sum(alone) - 2


def test_the_same_texts_cannot_be_told_apart():
    a, _ = bleus(np.random.default_rng(2), 30, 0.3, 0.3)
    found = compare_texts(a, a, **FAST)
    assert (found.difference, found.p, found.verdict) == (0.0, 1.0, "cannot be told apart")
    assert found.low < 0 < found.high
    assert randomisation_test(a, a, swaps=100) == 1.0
    assert paired_bootstrap(a, a, draws=100).p == 1.0
    assert paired_bootstrap(a, a, draws=100).share_better == 0.5


def test_randomisation_is_exact_on_few_rows():
    rng = np.random.default_rng(3)
    a, b = rng.random(8), rng.random(8)
    signs = np.array(list(itertools.product([1, -1], repeat=8)))
    expected = np.mean(np.abs(signs @ (a - b)) >= abs((a - b).sum()) - 1e-12)
    assert randomisation_test(mean_of("m", a), mean_of("m", b)) == pytest.approx(expected)


def test_random_swaps_come_near_the_exact_p():
    rng = np.random.default_rng(4)
    a, b = mean_of("m", rng.random(12)), mean_of("m", rng.random(12) * 0.8)
    exact = randomisation_test(a, b, swaps=2**12)
    assert randomisation_test(a, b, swaps=2**12 - 1, seed=1) == pytest.approx(exact, abs=0.03)


def test_p_is_never_zero_and_one_sided_luck_is_seen_in_both_directions():
    a, b = mean_of("m", np.full(60, 0.9)), mean_of("m", np.full(60, 0.1))
    assert randomisation_test(a, b, swaps=99) == pytest.approx(1 / 100)
    assert randomisation_test(b, a, swaps=99) == pytest.approx(1 / 100)


def test_the_bootstrap_of_a_mean_is_the_paired_t_test():
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.6, 0.1, 40), rng.normal(0.55, 0.1, 40)
    found = compare_texts(mean_of("m", a), mean_of("m", b), draws=20000)
    error = (a - b).std(ddof=1) / np.sqrt(40)
    half = stats.t.ppf(0.975, 39) * error
    assert (found.low, found.high) == pytest.approx(((a - b).mean() - half, (a - b).mean() + half), abs=0.003)
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.01)


def test_how_many_swaps_are_made_does_not_widen_the_interval():
    rng = np.random.default_rng(6)
    a, b = mean_of("m", rng.normal(0.9, 0.02, 200)), mean_of("m", rng.normal(0.3, 0.02, 200))
    few, many = (compare_texts(a, b, swaps=swaps) for swaps in (100, 5000))
    assert (few.low, few.high) == (many.low, many.high)
    assert few.p == pytest.approx(1 / 101)


def test_interval_p_and_verdict_always_agree():
    rng = np.random.default_rng(7)
    for trial in range(60):
        a, b = bleus(rng, int(rng.integers(3, 40)), 0.3, float(rng.uniform(0.2, 0.5)))
        found = compare_texts(a, b, seed=trial, **FAST)
        told = found.verdict != "cannot be told apart"
        assert told == (found.p < 0.05) == (not found.low <= 0 <= found.high)
        assert told == (found.rows_needed is None)


def test_swapping_the_two_mirrors_everything():
    a, b = bleus(np.random.default_rng(8), 50, 0.2, 0.5)
    forth, back = compare_texts(a, b, **FAST), compare_texts(b, a, **FAST)
    assert (forth.difference, forth.low, forth.p) == pytest.approx((-back.difference, -back.high, back.p))
    assert (forth.verdict, back.verdict) == ("better", "worse")
    assert paired_bootstrap(a, b).share_better == pytest.approx(1 - paired_bootstrap(b, a).share_better)


def test_a_lower_loss_is_better():
    a = Likelihoods.of(np.linspace(1, 2, 30), np.full(30, 2), bytes_N=np.full(30, 5))
    b = Likelihoods.of(np.linspace(1, 2, 30) + 0.001, np.full(30, 2), bytes_N=np.full(30, 5))
    found = compare_texts(a.loss(), b.loss(), **FAST)
    # A small change that every row shows is no luck: a loss has no floor under its variance.
    assert (found.verdict, found.difference > 0) == ("better", True)
    same = compare_texts(a.loss(), a.loss(), **FAST)
    assert (same.verdict, same.rows_needed) == ("cannot be told apart", None)


def test_differences_worth_knowing_are_in_the_units_of_the_score():
    a, _ = bleus(np.random.default_rng(9), 40, 0.3, 0.3)
    assert compare_texts(a, a, **FAST).rows_needed_for == pytest.approx(3.0)
    share = mean_of("m", np.linspace(0, 1, 40))
    assert compare_texts(share, share, **FAST).rows_needed_for == pytest.approx(0.03)


def test_copies_of_a_row_are_one_observation():
    rng = np.random.default_rng(10)
    a, b = rng.random(6), rng.random(6)
    once = compare_texts(mean_of("m", a), mean_of("m", b))
    copied = [mean_of("m", np.repeat(values, 10)) for values in (a, b)]
    together = compare_texts(*copied, groups=np.repeat(np.arange(6), 10))
    assert together.p == pytest.approx(once.p)
    assert (together.low, together.high) == pytest.approx((once.low, once.high))
    assert compare_texts(*copied).p < once.p


def test_other_rows_are_refused():
    with pytest.raises(AssertionError, match="same rows"):
        compare_texts(mean_of("m", [1.0]), mean_of("m", [1.0, 0.0]))
