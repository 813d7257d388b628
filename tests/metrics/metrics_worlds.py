"""Synthetic worlds in which the truth is known: classifiers really refitted, scored on a huge test set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewtune.metrics import OutOfFold


@dataclass
class World:
    """Gaussian classes around random means and a nearest-centroid classifier (refitted: no cached score is reused)."""

    rng: np.random.Generator
    classes: int = 2
    width: int = 10
    distance: float = 2.0

    def __post_init__(self):
        self.means_CD = self.rng.normal(size=(self.classes, self.width)) * self.distance / np.sqrt(self.width)

    def draw(self, rows):
        while True:
            labels_N = self.rng.integers(0, self.classes, rows)
            if np.bincount(labels_N, minlength=self.classes).min() >= 2:
                return self.means_CD[labels_N] + self.rng.normal(size=(rows, self.width)), labels_N


def fit(x_ND, labels_N, classes):
    return np.stack([x_ND[labels_N == c].mean(axis=0) for c in range(classes)])


def predict(means_CD, x_ND):
    scores_NC = x_ND @ means_CD.T - (means_CD**2).sum(axis=1) / 2
    exp_NC = np.exp(scores_NC - scores_NC.max(axis=1, keepdims=True))
    return exp_NC / exp_NC.sum(axis=1, keepdims=True)


def stratified_folds(labels_N, folds, rng):
    fold_N = np.empty(len(labels_N), dtype=int)
    fold_N[np.lexsort((rng.random(len(labels_N)), labels_N))] = np.arange(len(labels_N)) % folds
    return fold_N


def make_splits(labels_N, rng, folds=5, repeats=2):
    fold_PN = [stratified_folds(labels_N, folds, rng) for _ in range(repeats)]
    return [np.flatnonzero(fold_N == fold) for fold_N in fold_PN for fold in range(folds)]


def cross_validate(x_ND, labels_N, held_out, classes):
    """Out-of-fold probabilities of a centroid classifier refitted on every split."""
    probs = []
    for rows_B in held_out:
        train_N = np.setdiff1d(np.arange(len(labels_N)), rows_B)
        probs.append(predict(fit(x_ND[train_N], labels_N[train_N], classes), x_ND[rows_B]))
    return OutOfFold(labels_N, tuple(held_out), tuple(probs))


def right(labels_N, probs_NC):
    return (probs_NC.argmax(axis=1) == labels_N).astype(float)
