from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import softmax

from fewtune.metrics.calibration import (
    abstention,
    apply_temperature,
    fit_temperature,
    log_probabilities,
    reliability,
)
from fewtune.metrics.intervals import wilson


def sampled(rows, temperature, seed=0):
    """Labels drawn from softmax(scores): the scores times `temperature` want exactly that temperature."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, 3)) * 2
    labels = (softmax(scores, axis=1).cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    return scores * temperature, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(temperature):
    scores, labels = sampled(4000, temperature)
    assert fit_temperature(scores, labels) == pytest.approx(temperature, rel=0.1)


def test_probabilities_and_logits_give_the_same_temperature():
    scores, labels = sampled(500, 2.0)
    assert fit_temperature(log_probabilities(softmax(scores, axis=1)), labels) == pytest.approx(
        fit_temperature(scores, labels), rel=0.02
    )


def test_temperature_never_raises_the_loss_and_keeps_the_predictions():
    scores, labels = sampled(60, 3.0)
    scaled = apply_temperature(scores, fit_temperature(scores, labels))
    rows = np.arange(60)
    assert -np.log(scaled[rows, labels]).mean() <= -np.log(softmax(scores, axis=1)[rows, labels]).mean()
    np.testing.assert_array_equal(scaled.argmax(axis=1), scores.argmax(axis=1))
    np.testing.assert_allclose(scaled.sum(axis=1), 1)


def test_all_right_says_nothing_of_temperature():
    assert fit_temperature([[2.0, 0.0], [0.0, 2.0]], [0, 1]) == 1.0


def test_zero_probabilities_do_not_break_the_fit():
    assert np.isfinite(fit_temperature(log_probabilities([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), [0, 1, 1]))


def test_reliability_counts_every_row_once():
    scores, labels = sampled(100, 1.0)
    probs = softmax(scores, axis=1)
    points = reliability(labels, probs)
    assert sum(point.count for point in points) == 100
    assert [p.confidence for p in points] == sorted(p.confidence for p in points)
    for point in points:
        assert (point.low, point.high) == wilson(point.accuracy, point.count)
    assert sum(p.count * p.accuracy for p in points) == pytest.approx((probs.argmax(axis=1) == labels).sum())


def ladder(right_flags):
    """Two-class rows whose confidence falls from .99, all predicted class 0."""
    confidence = np.linspace(0.99, 0.55, len(right_flags))
    return np.stack([confidence, 1 - confidence], axis=1), np.where(right_flags, 0, 1)


def test_abstention_keeps_as_many_rows_as_the_target_allows():
    # 18 right, then 2 wrong, 10 right: 18/18, 18/20 = .9, then never above .9333 = 28/30 at the end.
    probs, labels = ladder([True] * 18 + [False] * 2 + [True] * 10)
    found = abstention(probs, labels, target_precision=0.95)
    assert found.rows_kept == 18
    assert found.coverage == pytest.approx(0.6)
    assert found.threshold == pytest.approx(probs[17, 0])
    assert found.precision.mean == 1
    assert (found.precision.low, found.precision.high) == pytest.approx(wilson(1.0, 18))
    assert abstention(probs, labels, target_precision=0.9).coverage == 1
    json.dumps(found.to_json())


def test_abstention_says_when_the_target_is_out_of_reach():
    probs, labels = ladder([True, False] * 20)
    found = abstention(probs, labels)
    assert (found.threshold, found.precision, found.coverage, found.rows_kept) == (None, None, 0, 0)
    assert "more often than 5" in found.reason


def test_abstention_does_not_read_noise():
    # The five surest rows are right: too few to believe.
    probs, labels = ladder([True] * 5 + [False, True] * 20)
    assert abstention(probs, labels).threshold is None
    assert abstention(probs, labels, minimum_kept=5).rows_kept == 5
    assert "fewer than 10" in abstention(probs[:6], labels[:6]).reason


def test_abstention_cuts_only_between_different_confidences():
    probs = np.tile([0.8, 0.2], (20, 1))
    labels = np.repeat([0, 1], [12, 8])
    assert abstention(probs, labels).threshold is None
    assert abstention(probs, labels, target_precision=0.6).rows_kept == 20
