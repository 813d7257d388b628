"""Self-training: the probe labels unlabelled text, and learns again from what it is surest of.

Two guards against a probe that teaches itself its own mistakes (naive pseudo-labels hurt in most published cells):

- *Distribution alignment* (Berthelot and others 2020, ReMixMatch): pseudo-label probabilities are rescaled until their
  mean over the pool equals the class shares of the labelled rows, so no class swallows the rest.
- *The supervised model as guard*: inner folds of the labelled rows compare the two; where self-training is not at
  least as good there, the supervised probe is what `fit` gives back.

Legend: N labelled rows, U unlabelled texts, C classes, D width.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fewtune.data.splits import repeated_folds
from fewtune.methods.base import ClosedFormMethod, Fitted, FloatArray, IntArray, Material
from fewtune.methods.head import LinearHead, fit_head
from fewtune.methods.probe import (
    HEAD_FILE,
    INNER_FOLDS,
    FittedProbe,
    HeadRows,
    Vectors,
    choose_strength,
    fit_on,
    head_rows,
)

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder


@dataclass(frozen=True)
class SelfTraining(ClosedFormMethod):
    """The probe, taught again by its own confident labels on unlabelled text."""

    name: ClassVar[str] = "self_training"
    title: ClassVar[str] = "Self-training on unlabelled text"
    rung: ClassVar[int] = 3
    uses_unlabelled: ClassVar[bool] = True

    rounds: int = 5
    per_round: int = 20
    """Round i takes the 20 i surest texts of each class, as far as the pool allows."""
    labelled_weight: float = 3.0
    """A labelled row counts this many pseudo-labelled ones."""
    pool_limit: int = 5000
    """At most this many unlabelled texts are used, a seeded sample."""
    strengths: tuple[float, ...] = (1.0, 10.0, 100.0)
    default_strength: float = 10.0

    def fit(self, material: Material) -> Fitted:
        """Fit the probe, self-train, keep whichever the inner folds prefer."""
        assert material.encoder is not None
        encoder = material.encoder
        rows = head_rows(material, encoder.features, class_names=True)
        strength = choose_strength(rows, material, self.strengths, self.default_strength)
        pool_UD = encoder.features(sample_pool(material, self.pool_limit))
        head, notes = guarded(self, rows, pool_UD, material, strength)
        fitted = FittedProbe(encoder, head)
        fitted.notes = notes
        return fitted

    @classmethod
    def load(cls, folder: Path, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
        """Read the head."""
        assert encoder is not None
        return FittedProbe(encoder, LinearHead.load(folder / HEAD_FILE))


def sample_pool(material: Material, limit: int) -> list[str]:
    """Distinct unlabelled texts that are not among the training texts; a seeded sample of at most `limit`."""
    known = set(material.texts)
    texts = [text for text in dict.fromkeys(material.unlabelled) if text not in known]
    if len(texts) <= limit:
        return texts
    chosen = np.random.default_rng(material.seed).permutation(len(texts))[:limit]
    return [texts[index] for index in np.sort(chosen)]


def guarded(
    method: SelfTraining, rows: HeadRows, pool_UD: Vectors, material: Material, strength: float
) -> tuple[LinearHead, tuple[str, ...]]:
    """The self-trained head, or the supervised one where inner folds of the labelled rows prefer it."""
    supervised = fit_on(rows, material, strength)
    if len(pool_UD) == 0:
        return supervised, ("no unlabelled text to learn from: supervised probe kept",)
    gain = _inner_gain(method, rows, pool_UD, material, strength)
    if gain < 0:
        return supervised, (f"guard: self-training lost {-gain:.3f} in log likelihood a row, supervised probe kept",)
    return self_train(method, rows, pool_UD, len(material.classes), strength), (
        f"self-training gained {gain:.3f} in log likelihood a row on inner folds",
    )


def _inner_gain(method: SelfTraining, rows: HeadRows, pool_UD: Vectors, material: Material, strength: float) -> float:
    """Mean gain in log likelihood of the labelled rows, out of inner folds; 0 where rows are too few to tell."""
    labels_N = rows.labels_N[: rows.given]
    counts = np.bincount(labels_N)
    if counts[counts > 0].min() < INNER_FOLDS:
        return 0.0
    groups = None if material.groups is None else list(material.groups)
    extra = np.arange(rows.given, len(rows.labels_N))
    gains: list[float] = []
    for split in repeated_folds(labels_N.tolist(), groups, folds=INNER_FOLDS, repeats=1, seed=material.seed):
        part = take(rows, np.concatenate([split.train, extra]), len(split.train))
        before = fit_head(
            part.vectors_ND, part.labels_N, len(material.classes), strength=strength, weights_N=part.weights_N
        )
        after = self_train(method, part, pool_UD, len(material.classes), strength)
        truth = labels_N[split.test]
        gains += list(
            log_likelihood(after, rows.vectors_ND[split.test], truth)
            - log_likelihood(before, rows.vectors_ND[split.test], truth)
        )
    return float(np.mean(gains))


def take(rows: HeadRows, index: IntArray, given: int) -> HeadRows:
    """Some of the rows; the first `given` of `index` are labelled texts."""
    return dataclasses.replace(
        rows,
        vectors_ND=rows.vectors_ND[index],
        labels_N=rows.labels_N[index],
        weights_N=rows.weights_N[index],
        given=given,
    )


def log_likelihood(head: LinearHead, vectors_ND: Vectors, labels_N: IntArray) -> FloatArray:
    """[N] log probability of the right class, floored at one in a million."""
    probs_NC = head.predict_proba(vectors_ND)
    return np.asarray(np.log(np.clip(probs_NC[np.arange(len(labels_N)), labels_N], 1e-6, 1.0)))


def self_train(method: SelfTraining, rows: HeadRows, pool_UD: Vectors, classes: int, strength: float) -> LinearHead:
    """Rounds of labelling the pool and fitting again; each round trusts more of it."""
    head = fit_head(rows.vectors_ND, rows.labels_N, classes, strength=strength, weights_N=rows.weights_N)
    counts_C = np.bincount(rows.labels_N[: rows.given], minlength=classes).astype(np.float64)
    shares_C = (counts_C + 0.5) / (rows.given + 0.5 * classes)
    for round_ in range(1, method.rounds + 1):
        probs_UC = align(head.predict_proba(pool_UD), shares_C)
        chosen, labels, confidence = surest(probs_UC, method.per_round * round_)
        head = fit_head(
            np.concatenate([rows.vectors_ND, pool_UD[chosen]]),
            np.concatenate([rows.labels_N, labels]),
            classes,
            strength=strength,
            weights_N=np.concatenate([method.labelled_weight * rows.weights_N, confidence]),
        )
    return head


def align(probs_UC: FloatArray, shares_C: FloatArray, *, sweeps: int = 10) -> FloatArray:
    """Rescale classes until the mean over the pool equals `shares_C`; rows still sum to one."""
    aligned_UC = probs_UC
    for _ in range(sweeps):
        aligned_UC = aligned_UC * (shares_C / np.maximum(aligned_UC.mean(0), 1e-9))
        aligned_UC = aligned_UC / aligned_UC.sum(1, keepdims=True)
    return aligned_UC


def surest(probs_UC: FloatArray, per_class: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Indices, labels and confidence of the `per_class` surest texts among those each class wins."""
    winner_U, top_U = probs_UC.argmax(1), probs_UC.max(1)
    picked: list[int] = []
    for label in range(probs_UC.shape[1]):
        mine = np.flatnonzero(winner_U == label)
        picked += mine[np.argsort(-top_U[mine], kind="stable")[:per_class]].tolist()
    chosen = np.asarray(picked, dtype=np.int64)
    return chosen, winner_U[chosen], top_U[chosen]
