"""How clearly rows are right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from fewtune.metrics.margins import clearness


def made(seed, rows=60, classes=3, noise=1.0):
    """Logits that lean towards the true class, and the classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    return np.eye(classes)[labels] + noise * rng.normal(size=(rows, classes)), labels


@given(st.integers(0, 99), st.floats(0.2, 8.0), st.integers(2, 6))
def test_it_sides_with_what_is_right_and_temperature_changes_nothing(seed, sharpness, classes):
    logits, labels = made(seed, classes=classes, noise=0.3)
    (found,) = clearness([softmax(logits, axis=1)], [labels])
    assert ((found > 0.5) == (logits.argmax(1) == labels)).all()
    assert ((found >= 0) & (found <= 1)).all()
    (sharper,) = clearness([softmax(sharpness * logits / 2, axis=1)], [labels])
    np.testing.assert_allclose(sharper, found, atol=1e-6)


def test_far_from_the_border_it_is_accuracy_and_on_it_a_half():
    probs = np.array([[0.999, 0.001], [0.001, 0.999], [0.5, 0.5], [0.9, 0.1], [0.1, 0.9]])
    (found,) = clearness([probs], [np.array([0, 0, 0, 0, 1])])
    np.testing.assert_allclose(found[:3], [1, 0, 0.5], atol=1e-3)
    assert 0.9 < found[3] < 1
    assert found[3] == pytest.approx(found[4])


@pytest.mark.parametrize(
    "probs", [np.full((4, 3), 1 / 3), np.eye(3)[[0, 1, 2, 0]], np.array([[1.0, 0.0, 0.0]] * 4)], ids=str
)
def test_what_never_wavers_or_always_ties_has_a_score(probs):
    (found,) = clearness([probs], [np.array([0, 1, 2, 1])])
    assert np.isfinite(found).all()
    for row, label, clear in zip(probs, (0, 1, 2, 1), found, strict=True):
        if row.max() == row[label] == row.min():
            assert clear == pytest.approx(0.5)
        else:
            assert (clear > 0.5) == (row.argmax() == label)


def test_it_foretells_a_difference_better_than_accuracy():
    """Of two classifiers, one a little noisier: from 30 rows, nearer to what 3,000 say."""
    errors = {"accuracy": [], "clearness": []}
    for seed in range(300):
        rng = np.random.default_rng(seed)
        labels = rng.integers(3, size=3030)
        shared = 1.2 * np.eye(3)[labels] + 0.7 * rng.normal(size=(3030, 3))
        both = [softmax(shared + level * rng.normal(size=(3030, 3)), axis=1) for level in (0.3, rng.uniform(0.3, 1.2))]
        right = [(probs.argmax(1) == labels).astype(float) for probs in both]
        clear = [clearness([probs[:30]], [labels[:30]])[0] for probs in both]
        truth = (right[0][30:] - right[1][30:]).mean()
        errors["accuracy"].append((right[0][:30] - right[1][:30]).mean() - truth)
        errors["clearness"].append((clear[0] - clear[1]).mean() - truth)
    accuracy, clearer = (np.sqrt(np.mean(np.square(errors[name]))) for name in ("accuracy", "clearness"))
    assert clearer < 0.9 * accuracy
