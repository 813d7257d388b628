from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from fewtune.metrics.classification import (
    RowScores,
    accuracy,
    classification_scores,
    ece_bins,
    expected_calibration_error,
    summary,
)


def random_predictions(rows, classes, seed):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    probs = rng.dirichlet(np.full(classes, 0.4), size=rows)
    return labels, probs


@pytest.mark.parametrize(("rows", "classes"), [(30, 2), (50, 4), (300, 20)])
def test_scores_are_those_of_scikit_learn(rows, classes):
    labels, probs = random_predictions(rows, classes, seed=rows)
    predicted = probs.argmax(axis=1)
    ours = classification_scores(labels, probs, [str(c) for c in range(classes)])
    for average in ("macro", "weighted"):
        expected = sk.precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)[:3]
        found = [getattr(ours, f"{average}_{name}") for name in ("precision", "recall", "f1")]
        np.testing.assert_allclose(found, expected)
    per_class = np.array(sk.precision_recall_fscore_support(labels, predicted, zero_division=0)).T
    np.testing.assert_allclose([[c.precision, c.recall, c.f1, c.support] for c in ours.per_class], per_class)
    assert ours.accuracy == pytest.approx(sk.accuracy_score(labels, predicted))
    assert ours.balanced_accuracy == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    assert ours.mcc == pytest.approx(sk.matthews_corrcoef(labels, predicted))
    assert ours.log_loss == pytest.approx(sk.log_loss(labels, probs, labels=range(classes)))
    assert ours.brier == pytest.approx(((probs - np.eye(classes)[labels]) ** 2).sum(axis=1).mean())
    np.testing.assert_array_equal(ours.confusion, sk.confusion_matrix(labels, predicted))
    assert accuracy(labels, predicted) == pytest.approx(ours.accuracy)


def test_zero_divisions_are_zero_and_absent_classes_leave_macro_averages():
    scores = classification_scores([0, 0, 1, 1], np.eye(3)[[0, 0, 0, 2]], ["a", "b", "c"])
    b, c = scores.per_class[1], scores.per_class[2]
    assert (b.precision, b.recall, b.f1) == (0, 0, 0)
    assert (c.precision, c.recall, c.f1, c.support) == (0, 0, 0, 0)
    assert scores.macro_recall == pytest.approx((1 + 0) / 2)
    assert scores.macro_f1 == pytest.approx((4 / 5 + 0) / 2)


def test_mcc_is_zero_when_one_side_does_not_vary():
    assert classification_scores([0, 1], [[0.9, 0.1], [0.8, 0.2]], ["a", "b"]).mcc == 0
    assert classification_scores([0, 0], [[0.9, 0.1], [0.2, 0.8]], ["a", "b"]).mcc == 0


def test_confident_and_wrong_has_a_finite_log_loss():
    assert classification_scores([1], [[1.0, 0.0]], ["a", "b"]).log_loss == pytest.approx(-np.log(2.220446e-16))


def test_calibration_error_by_hand():
    # Two bins of two: confidence .6 with accuracy .5; confidence .9 with accuracy 1.
    probs = [[0.6, 0.4], [0.4, 0.6], [0.9, 0.1], [0.1, 0.9]]
    assert expected_calibration_error([0, 0, 0, 1], probs, bins=2) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_calibration_error_does_not_depend_on_row_order_among_ties():
    probs = np.tile([0.7, 0.3], (40, 1))
    labels = np.repeat([0, 1], [28, 12])
    assert expected_calibration_error(labels, probs) == pytest.approx(0.0)
    assert expected_calibration_error(labels[::-1], probs) == pytest.approx(0.0)


def test_calibration_bins_follow_the_rows():
    assert [ece_bins(rows) for rows in (1, 20, 100, 5000)] == [1, 4, 10, 15]


def test_weights_count_rows_as_often():
    labels, probs = random_predictions(40, 3, seed=0)
    times = np.random.default_rng(1).integers(0, 4, 40)
    weighted = summary(RowScores.of(labels, probs), times.astype(float), 5)
    repeated = RowScores.of(np.repeat(labels, times), np.repeat(probs, times, axis=0))
    np.testing.assert_allclose(weighted, summary(repeated, np.ones(times.sum()), 5))


def test_two_repeats_at_half_weight_give_a_confusion_matrix_of_n_rows():
    labels, probs = random_predictions(40, 3, seed=0)
    scores = classification_scores(np.tile(labels, 2), np.tile(probs, (2, 1)), "abc", weights_N=np.full(80, 0.5))
    assert scores.rows == 40
    np.testing.assert_array_equal(scores.confusion, classification_scores(labels, probs, "abc").confusion)


def test_scores_are_plain_json():
    labels, probs = random_predictions(10, 2, seed=0)
    json.dumps(classification_scores(labels, probs, ["a", "b"]).to_json())


def test_probabilities_that_do_not_sum_to_one_are_refused():
    with pytest.raises(AssertionError, match="sum to one"):
        classification_scores([0], [[0.5, 0.1]], ["a", "b"])
