from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from text_worlds import one_each, sentences, spoiled

from fewtune.chance import wilson
from fewtune.metrics.corpus import RowStatistics, mean_of, ratio
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.ngrams import bleu, chrf
from fewtune.metrics.overlap import token_f1
from fewtune.metrics.resampling import Resampling, corpus_interval, corpus_intervals, draw_scores

POPULATION = 3000


def held(scores, truth):
    """Share of intervals that hold the truth."""
    return np.mean([found.low <= truth <= found.high for found in scores])


def rows_of(score, rows):
    return RowStatistics(
        score.name, score.stats_NF[rows], score.combine, score.higher_is_better, score.bounds, score.extremes
    )


@pytest.fixture(scope="module")
def population():
    """Scores of a whole population of rows: what an interval from a few of them is about."""
    rng = np.random.default_rng(0)
    given = sentences(rng, POPULATION)
    found = {}
    for rate in (0.05, 0.4):
        outputs = spoiled(rng, given, rate)
        found |= {("bleu", rate): bleu(outputs, one_each(given)), ("chrf", rate): chrf(outputs, one_each(given))}
        found["token_f1", rate] = token_f1(outputs, one_each(given))
    tokens_N = rng.integers(1, 40, POPULATION)
    nll_N = tokens_N * rng.gamma(2.0, 0.8, POPULATION)
    found["bits_per_byte", 0] = Likelihoods.of(nll_N, tokens_N, bytes_N=tokens_N * 4).bits_per_byte()
    return found


@pytest.mark.parametrize("rows", [20, 100])
def test_intervals_hold_the_truth_as_often_as_they_say(population, rows):
    rng = np.random.default_rng(rows)
    for (name, rate), score in population.items():
        plans = [Resampling.of(rows, draws=400, seed=trial) for trial in range(200)]
        found = [corpus_interval(rows_of(score, rng.choice(POPULATION, rows, replace=False)), plan) for plan in plans]
        # 200 trials of 95 % lie within 92 and 98; few rows may cost a little, never much.
        share = held(found, score.value())
        assert share >= 0.91, f"{name} at {rate}, {rows} rows: {share:.3f}"
        assert share <= 0.99 or rate == 0.05, f"{name} at {rate}, {rows} rows: {share:.3f} is needlessly wide"


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_rates_hold_the_truth_also_at_the_edges(share):
    rng = np.random.default_rng(3)
    found = [corpus_interval(mean_of("exact_match", rng.random(40) < share), Resampling.of(40)) for _ in range(400)]
    assert held(found, share) >= 0.93


def test_clustered_rows_hold_the_truth_only_when_groups_are_known():
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(25), 8)
    known, unknown = [], []
    for trial in range(200):
        values = np.clip(0.5 + np.repeat(rng.normal(0, 0.15, 25), 8) + rng.normal(0, 0.05, 200), 0, 1)
        score = mean_of("m", values)
        known.append(corpus_interval(score, Resampling.of(200, groups, draws=300, seed=trial)))
        unknown.append(corpus_interval(score, Resampling.of(200, draws=300, seed=trial)))
    assert held(known, 0.5) >= 0.92
    assert held(unknown, 0.5) < 0.75


def test_a_mean_has_the_t_interval():
    rng = np.random.default_rng(5)
    values = rng.normal(0.5, 0.25, 30)
    found = corpus_interval(mean_of("m", values), Resampling.of(30, draws=20000))
    low, high = stats.t.interval(0.95, 29, values.mean(), values.std(ddof=1) / np.sqrt(30))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.008)


def test_a_rate_has_wilsons_interval():
    found = corpus_interval(mean_of("m", [1] * 7 + [0] * 13), Resampling.of(20))
    assert (found.low, found.high) == pytest.approx(wilson(7 / 20, 20))
    pairs = corpus_interval(mean_of("m", [1] * 14 + [0] * 26), Resampling.of(40, [row // 2 for row in range(40)]))
    assert (pairs.low, pairs.high) == pytest.approx(wilson(7 / 20, 20))
    assert "20.0 effective rows" in pairs.method


def test_perfect_rows_promise_no_more_than_wilson_does():
    # Not a rate of zeros and ones by its looks, so it takes the general way, which must come to the same.
    perfect = RowStatistics("m", np.tile([2.0, 2.0], (20, 1)), ratio, extremes=mean_of("m", [1.0]).extremes)
    found = corpus_interval(perfect, Resampling.of(20))
    assert (found.low, found.high) == pytest.approx(wilson(1.0, 20))


@pytest.mark.parametrize("count", [bleu, chrf])
def test_perfect_and_hopeless_texts_leave_room(count):
    given = sentences(np.random.default_rng(6), 30)
    perfect = corpus_interval(count(given, one_each(given)), Resampling.of(30))
    assert perfect.mean == pytest.approx(100)
    assert 70 < perfect.low < 95
    hopeless = corpus_interval(count(["qqq"] * 30, one_each(given)), Resampling.of(30))
    assert (hopeless.mean, hopeless.low) == (0.0, 0.0)
    # Four perfect rows more would still be far too short together for BLEU.
    assert 1 < hopeless.high < 50


def test_one_row_tells_nothing():
    found = corpus_interval(bleu(["a b c d e"], [["a b c d f"]]), Resampling.of(1))
    assert (found.low, found.high) == (0.0, 100.0)
    loss = corpus_interval(Likelihoods.of([3.0], [2], bytes_N=[4]).loss(), Resampling.of(1))
    assert (loss.low, loss.high) == (0.0, np.inf)


def test_more_draws_than_fit_at_once_are_the_draws_promised():
    plan = Resampling.of(3000, draws=1500)
    parts = list(plan.times())
    assert len(parts) > 1
    assert sum(map(len, parts)) == 1500
    assert all((part.sum(axis=1) == 3000).all() for part in parts)


def test_the_same_seed_gives_the_same_and_another_another():
    score = mean_of("m", np.random.default_rng(7).random(50))
    first, again, other = (corpus_interval(score, Resampling.of(50, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_all_scores_see_the_same_draws():
    values = np.random.default_rng(8).random(40)
    a, b = draw_scores([mean_of("a", values), mean_of("b", 1 - values)], Resampling.of(40, draws=50))
    assert a == pytest.approx(1 - b)
    assert list(corpus_intervals([mean_of("a", values), mean_of("b", values > 2)], Resampling.of(40))) == ["a", "b"]


def test_swaps_are_all_patterns_when_few():
    plan = Resampling.of(5, ["a", "a", "b", None, None])
    patterns = np.concatenate(list(plan.swaps(100)))
    assert plan.can_list(100)
    assert len(np.unique(patterns, axis=0)) == len(patterns) == 2**4
    assert not plan.can_list(15)
    assert len(np.concatenate(list(plan.swaps(15)))) == 15


def test_a_cross_validation_stretches_every_kind_of_interval():
    rng = np.random.default_rng(9)
    graded, rate = mean_of("g", rng.random(60)), mean_of("r", rng.random(60) < 0.4)
    plain, wider = (Resampling.of(60, stretch=stretch) for stretch in (1.0, 1.5))
    assert corpus_interval(graded, wider).width == pytest.approx(1.5 * corpus_interval(graded, plain).width)
    assert "stretched 1.50 times" in corpus_interval(graded, wider).method
    found = corpus_interval(rate, wider)
    assert (found.low, found.high) == pytest.approx(wilson(found.mean, 60 / 1.5**2))
    perfect = RowStatistics("m", np.tile([2.0, 2.0], (20, 1)), ratio, extremes=mean_of("m", [1.0]).extremes)
    assert corpus_interval(perfect, Resampling.of(20, stretch=1.5)).low == pytest.approx(wilson(1.0, 20 / 1.5**2)[0])
