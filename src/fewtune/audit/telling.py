"""How well something beside the text tells the label, for rows it has not seen, and whether chance would do as well.

Legend: N rows, F features, C classes, V distinct values.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

FOLDS = 5
CERTAIN = 0.001
"""Probability of a false alarm of one check on a file in which nothing tells the label (Bonferroni over its probes)."""
MOST_ROWS = 5000
"""More rows than this tell no more: a sample is looked at."""


@dataclass(frozen=True)
class Telling:
    """What a probe was worth on held-out rows."""

    accuracy: float
    chance: float
    """Accuracy of always answering the commonest class."""
    p: float
    """Of doing so much better than that by chance: the exact paired sign test on rows."""

    @property
    def gain(self) -> float:
        """The share of the way from chance to perfect."""
        return (self.accuracy - self.chance) / (1 - self.chance) if self.chance < 1 else 0.0


def telling(right_N: NDArray[np.bool_], labels_N: Indices) -> Telling:
    """Hold out-of-fold answers against the commonest class, row by row."""
    from scipy.stats import binom

    common_N = labels_N == np.bincount(labels_N).argmax()
    won, lost = int((right_N & ~common_N).sum()), int((~right_N & common_N).sum())
    p = float(binom.sf(won - 1, won + lost, 0.5)) if won + lost else 1.0
    return Telling(float(right_N.mean()), float(common_N.mean()), p)


def folds_of(labels_N: Indices, seed: int) -> Indices:
    """A fold for each row, classes spread evenly."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels_N))
    dealt = shuffled[np.argsort(labels_N[shuffled], kind="stable")]
    fold_N = np.empty(len(labels_N), dtype=np.int64)
    fold_N[dealt] = np.arange(len(labels_N)) % FOLDS
    return fold_N


def by_value(values: Sequence[str | None], labels_N: Indices, seed: int) -> NDArray[np.bool_]:
    """Which rows are told right by the commonest class of their value in the other folds; unseen values, by all."""
    numbers: dict[str | None, int] = {}
    value_N = np.asarray([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
    fold_N = folds_of(labels_N, seed)
    classes = int(labels_N.max()) + 1
    cell_N = value_N * classes + labels_N
    right_N = np.zeros(len(labels_N), dtype=bool)
    for fold in range(FOLDS):
        held = fold_N == fold
        counts_VC = np.bincount(cell_N[~held], minlength=len(numbers) * classes).reshape(-1, classes).astype(float)
        counts_VC += np.bincount(labels_N[~held], minlength=classes) / (10.0 * len(labels_N))  # unseen values and ties
        right_N[held] = counts_VC.argmax(1)[value_N[held]] == labels_N[held]
    return right_N


def by_tree(features_NF: NDArray[np.float64], labels_N: Indices, seed: int) -> NDArray[np.bool_]:
    """Which rows are told right by a small tree grown on the other folds."""
    from sklearn.tree import DecisionTreeClassifier

    fold_N = folds_of(labels_N, seed)
    leaves = int(np.clip(2 * (labels_N.max() + 1), 4, 64))
    right_N = np.zeros(len(labels_N), dtype=bool)
    for fold in range(FOLDS):
        held = fold_N == fold
        tree = DecisionTreeClassifier(max_leaf_nodes=leaves, min_samples_leaf=3, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of many classes, as if they were a quantity
            tree.fit(features_NF[~held], labels_N[~held])
        right_N[held] = tree.predict(features_NF[held]) == labels_N[held]
    return right_N


def one_of_each(clusters: Sequence[int], seed: int) -> Indices:
    """Rows to probe: the first of each cluster, so that no copy is told by its twin; at most `MOST_ROWS`."""
    _, first = np.unique(np.asarray(clusters, dtype=np.int64), return_index=True)
    rows = np.sort(first).astype(np.int64)
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
    return rows
