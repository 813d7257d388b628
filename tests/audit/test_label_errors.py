"""Rows whose label the predictions do not believe, worst first."""

import numpy as np
import pytest

from fewtune.audit.label_errors import label_errors

CLASSES = ("a", "b", "c")


def predictions(rows=90, seed=0):
    """Sure and right, row by row."""
    labels = np.arange(rows) % 3
    noise = np.random.default_rng(seed).dirichlet([1.0] * 3, size=rows)
    return labels, 0.85 * np.eye(3)[labels] + 0.15 * noise


def test_planted_errors_are_found_worst_first():
    labels, probs = predictions()
    given = labels.copy()
    planted = list(range(0, 90, 10))
    given[planted] = (given[planted] + 1) % 3
    found = label_errors(given, probs, CLASSES)
    assert {suspect.index for suspect in found} == set(planted)
    for suspect in found:
        assert suspect.given == CLASSES[given[suspect.index]]
        assert suspect.suggested == CLASSES[labels[suspect.index]]
        assert suspect.probability_suggested == pytest.approx(probs[suspect.index].max(), abs=1e-6)
        assert suspect.probability_given < suspect.probability_suggested
    shares = [suspect.probability_given for suspect in found]
    assert shares == sorted(shares)


def test_nothing_is_suspected_where_every_label_is_believed():
    labels, probs = predictions()
    assert label_errors(labels, probs, CLASSES) == []


def test_at_most_so_many():
    labels, probs = predictions()
    given = np.where(np.arange(90) % 4 == 0, (labels + 1) % 3, labels)
    assert len(label_errors(given, probs, CLASSES, most=5)) <= 5


def test_a_class_nobody_has_is_no_trouble():
    labels, probs = predictions()
    kept = labels != 1
    given = labels[kept].copy()
    given[0] = 2
    found = label_errors(given, probs[kept], CLASSES)
    assert [suspect.index for suspect in found] == [0]
    assert (found[0].given, found[0].suggested) == ("c", "a")


def test_one_class_has_no_errors():
    assert label_errors(np.zeros(5, dtype=np.int64), np.full((5, 3), 1 / 3), CLASSES) == []
