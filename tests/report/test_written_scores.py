"""Scores of what was written: out of fold they are as uncertain as models that share training rows make them."""

import numpy as np
import pytest

from fewtune.data.base import Dataset, Example
from fewtune.methods.base import Written
from fewtune.metrics.base import OutOfFold
from fewtune.metrics.intervals import design_effect
from fewtune.report.written import oof_scores, scores

ROWS = 60
EXAMPLES = [Example(f"ask {row}", id=str(row), completion=f"answer number {row}") for row in range(ROWS)]


def costs(rows):
    """What the completions of some rows cost a model."""
    drawn = np.random.default_rng(3)
    nll = drawn.gamma(3.0, 4.0, size=ROWS)[rows]
    size = np.asarray([len(EXAMPLES[row].completion.encode()) for row in rows])
    return Written(nll, np.full(len(rows), 4), size)


def test_intervals_out_of_fold_are_wider_than_a_test_sets():
    folds = [np.arange(fold, ROWS, 5) for fold in range(5)]
    oof = OutOfFold(
        np.zeros(ROWS, dtype=np.int64),
        tuple(folds),
        tuple(np.zeros((len(rows), 0)) for rows in folds),
        written=tuple(costs(rows) for rows in folds),
    )
    found = oof_scores(oof, Dataset(tuple(EXAMPLES), task="generation"), draws=2000)["bits_per_byte"]
    plain = scores(costs(np.arange(ROWS)), EXAMPLES, draws=2000).to_json()["bits_per_byte"]
    assert found["mean"] == pytest.approx(plain["mean"])
    wider = (found["high"] - found["low"]) / (plain["high"] - plain["low"])
    assert design_effect(folds, ROWS) > 2
    assert wider == pytest.approx(np.sqrt(design_effect(folds, ROWS)), rel=0.1)
