"""What one dealing into halves did to coverage is measured, and samples of either half do not pass for it."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FEWSHOT = Path(__file__).parents[2] / "benchmarks" / "fewshot"


@pytest.fixture(scope="module")
def easier():
    sys.path.insert(0, str(FEWSHOT))
    yield importlib.import_module("halves").easier
    sys.path.remove(str(FEWSHOT))
    for name in ("halves", "believe", "cell"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("wrong_inside", "wrong_outside"), [(0.0, 0.2), (0.1, 0.0), (0.0, 0.0)])
def test_the_half_with_fewer_wrong_labels_is_easier_by_as_much(easier, wrong_inside, wrong_outside):
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=3000)
    X = (np.eye(3, 8)[truth] + 0.2 * rng.normal(size=(3000, 8))).astype(np.float32)
    inside = np.arange(3000) < 1500
    wrong = rng.random(3000) < np.where(inside, wrong_inside, wrong_outside)
    y = ((truth + wrong) % 3).astype(str)
    mean, error = easier(X, y, inside, (60, 200), 10)
    assert mean == pytest.approx(wrong_outside - wrong_inside, abs=0.035)
    assert error < 0.01
