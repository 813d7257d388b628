from __future__ import annotations

import json

import numpy as np
import pytest

from fewtune.errors import UsageError
from fewtune.metrics.forgetting import compare_forgetting, measure_forgetting
from fewtune.metrics.likelihood import Likelihoods

FAST = {"draws": 300}


def world(rng, rows, change, noise=0.02):
    """Texts of very different difficulty, and the same after a change in bits a byte."""
    bytes_N = rng.integers(50, 400, rows)
    bits_N = rng.uniform(0.8, 2.5, rows)
    after_N = bits_N + change + rng.normal(0, noise, rows)
    return [Likelihoods.of(np.log(2) * bits * bytes_N, bytes_N // 4, bytes_N=bytes_N) for bits in (bits_N, after_N)]


def test_a_small_loss_is_seen_through_texts_of_all_kinds():
    before, after = world(np.random.default_rng(0), 60, 0.03)
    found = measure_forgetting(before, after, **FAST)
    assert found.verdict == "forgotten"
    assert found.difference.low > 0.02
    # Unpaired it would drown: each score's own interval is ten times as wide.
    assert found.before.high > found.after.low
    assert found.relative == pytest.approx(found.difference.mean / found.before.mean)


def test_a_gain_and_no_change():
    rng = np.random.default_rng(1)
    assert measure_forgetting(*world(rng, 60, -0.05), **FAST).verdict == "gained"
    kept = measure_forgetting(*world(rng, 60, 0.0), **FAST)
    assert kept.verdict == "kept"
    assert kept.difference.low < 0 < kept.difference.high


def test_an_untouched_model_forgot_nothing():
    before, _ = world(np.random.default_rng(2), 10, 0.1)
    found = measure_forgetting(before, before, **FAST)
    assert (found.verdict, found.difference.mean, found.p, found.hardest_hit) == ("kept", 0.0, 1.0, ())


def test_no_change_is_called_one_as_seldom_as_promised():
    rng = np.random.default_rng(3)
    said = [measure_forgetting(*world(rng, 20, 0.0, 0.1), draws=200).verdict != "kept" for _ in range(200)]
    assert np.mean(said) <= 0.095


def test_the_paired_interval_holds_the_truth():
    rng = np.random.default_rng(4)
    held = []
    for trial in range(200):
        found = measure_forgetting(*world(rng, 25, 0.05, 0.1), draws=300, seed=trial)
        held.append(found.difference.low <= 0.05 <= found.difference.high)
    assert np.mean(held) >= 0.91


def test_by_hand():
    before = Likelihoods.of(np.log(2) * np.array([10.0, 20.0]), [5, 5], bytes_N=[10, 10])
    after = Likelihoods.of(np.log(2) * np.array([15.0, 19.0]), [5, 5], bytes_N=[10, 10])
    found = measure_forgetting(before, after, name="the probes", texts=["first", "second"], **FAST)
    assert (found.before.mean, found.after.mean) == pytest.approx((1.5, 1.7))
    assert found.difference.mean == pytest.approx(0.2)
    assert [(probe.row, probe.text) for probe in found.hardest_hit] == [(0, "first")]
    assert (found.hardest_hit[0].before, found.hardest_hit[0].after) == pytest.approx((1.0, 1.5))
    assert found.sentence.startswith("On the probes (2 rows) bits per byte went from 1.500 to 1.700 (+0.200, ")


def test_pieces_of_one_book_are_one_observation():
    rng = np.random.default_rng(5)
    bytes_N = np.full(80, 100)
    shift_N = np.repeat(rng.normal(0.02, 0.1, 8), 10)
    before = Likelihoods.of(np.full(80, 100.0), bytes_N // 4, bytes_N=bytes_N)
    after = Likelihoods.of(100.0 + 70 * shift_N, bytes_N // 4, bytes_N=bytes_N)
    alone, together = (
        measure_forgetting(before, after, groups=groups, **FAST) for groups in (None, np.repeat(range(8), 10))
    )
    assert together.difference.width > 2 * alone.difference.width


def test_replay_that_forgets_less_is_told_with_an_interval():
    rng = np.random.default_rng(6)
    before, with_replay = world(rng, 60, 0.02)
    worse = Likelihoods(with_replay.nll_N * 1.05, with_replay.tokens_N, with_replay.bytes_N)
    found = compare_forgetting(before, with_replay, worse, **FAST)
    assert (found.verdict, found.low > 0) == ("better", True)
    assert compare_forgetting(before, worse, with_replay, **FAST).verdict == "worse"


def test_other_texts_are_refused():
    before, after = world(np.random.default_rng(7), 5, 0.0)
    other = Likelihoods(after.nll_N, after.tokens_N, after.bytes_N + 1)
    with pytest.raises(UsageError, match="not the same texts"):
        measure_forgetting(before, other)
    with pytest.raises(UsageError, match="not the same texts"):
        compare_forgetting(before, after, other)


def test_it_is_plain_json():
    json.dumps(measure_forgetting(*world(np.random.default_rng(8), 5, 0.1), **FAST).to_json())
