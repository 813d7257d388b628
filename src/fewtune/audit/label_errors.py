"""Rows most likely mislabelled: confident learning (Northcutt and others 2021) on out-of-fold probabilities.

About half of what it flags is truly wrong: rows are shown, never deleted.

Legend: N rows, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Suspect:
    """A row whose label the model, not having seen it, does not believe."""

    index: int
    given: str
    suggested: str
    probability_given: float
    probability_suggested: float


def label_errors(
    labels_N: NDArray[np.int64], probs_NC: NDArray[np.float64], classes: Sequence[str], *, most: int = 25
) -> list[Suspect]:
    """Suspects, worst first, at most `most`.

    Parameters
    ----------
    labels_N : given labels, indices into `classes`.
    probs_NC : out-of-fold probabilities: no row's own label may have been seen by what predicted it.
    """
    from cleanlab.filter import find_label_issues

    present = np.unique(labels_N)
    if len(present) < 2:
        return []
    place = {int(label): index for index, label in enumerate(present)}
    probs_Nc = np.clip(probs_NC[:, present], 1e-9, None)
    probs_Nc = probs_Nc / probs_Nc.sum(1, keepdims=True)
    labels = np.asarray([place[int(label)] for label in labels_N])
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # cleanlab warns of classes too small to prune, which is what we want it to keep
        ranked = find_label_issues(
            labels, probs_Nc, return_indices_ranked_by="self_confidence", filter_by="prune_by_noise_rate", n_jobs=1
        )
    found = [_suspect(int(row), labels, probs_Nc, [classes[int(c)] for c in present]) for row in ranked[:most]]
    return [suspect for suspect in found if suspect.suggested != suspect.given]


def _suspect(row: int, labels: NDArray[np.int64], probs_Nc: NDArray[np.float64], classes: Sequence[str]) -> Suspect:
    best = int(probs_Nc[row].argmax())
    given = int(labels[row])
    return Suspect(row, classes[given], classes[best], float(probs_Nc[row, given]), float(probs_Nc[row, best]))
