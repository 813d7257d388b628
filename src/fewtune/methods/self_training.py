"""Self-training: the probe labels unlabelled text, and learns again from what it is surest of.

Two guards against a probe that teaches itself its own mistakes (naive pseudo-labels hurt in most published cells):

- *Distribution alignment* (after Berthelot and others 2020, ReMixMatch), of weights and not of labels: a pool has its
  own mix of classes, often another than the labelled rows, so no text is pushed into another class; but the
  pseudo-labelled rows of each class together weigh in proportion to its labelled rows, so no class swallows the rest.
- *The supervised model as guard*: inner folds of the labelled rows compare the two; where self-training is clearly
  worse there, the supervised probe is what `fit` gives back.

Legend: N labelled rows, U unlabelled texts, C classes, D width.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from fewtune.data.splits import repeated_folds
from fewtune.methods.base import ClosedFormMethod, Fitted, FloatArray, IntArray, Material
from fewtune.methods.head import LinearHead, Vectors
from fewtune.methods.head_rows import (
    HEAD_FILE,
    INNER_FOLDS,
    NAME_SCALES,
    HeadRows,
    HeadSettings,
    settled,
)
from fewtune.methods.probe import FittedProbe

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

WORSE = 1.0
"""Standard errors by which self-training must lose on inner folds to be given up."""


class Teaching(Protocol):
    """The hyper-parameters of self-training, whichever method carries them."""

    @property
    def rounds(self) -> int:
        """Times the pool is labelled and learned from."""

    @property
    def final_share(self) -> float:
        """Share of each class's pseudo-labelled texts that the last round takes."""

    @property
    def labelled_weight(self) -> float:
        """How many pseudo-labelled rows a labelled one counts."""


@dataclass(frozen=True)
class SelfTraining(ClosedFormMethod):
    """The probe, taught again by its own confident labels on unlabelled text."""

    name: ClassVar[str] = "self_training"
    title: ClassVar[str] = "Self-training on unlabelled text"
    rung: ClassVar[int] = 3
    uses_unlabelled: ClassVar[bool] = True

    rounds: int = 5
    final_share: float = 0.6
    """Share of each class's pseudo-labelled texts, surest first, that the last round takes; it grows round by round."""
    labelled_weight: float = 3.0
    """A labelled row counts this many pseudo-labelled ones."""
    pool_limit: int = 5000
    """At most this many unlabelled texts are used, a seeded sample."""
    strengths: tuple[float, ...] = (1.0, 10.0, 100.0)
    default_strength: float = 10.0
    name_scales: tuple[float, ...] = NAME_SCALES
    """As the probe has them."""

    def fit(self, material: Material) -> Fitted:
        """Fit the probe, self-train, keep whichever the inner folds prefer."""
        assert material.encoder is not None
        rows, settings = settled(material, self)
        pool_UD = material.encoder.features(sample_pool(material, self.pool_limit))
        taught = len(pool_UD) > 0 and not worse(self, rows, pool_UD, material, settings)
        classes = len(material.classes)
        head = self_train(self, rows, pool_UD, classes, settings) if taught else settings.fit(rows, classes)
        fitted = FittedProbe(material.encoder, head)
        why = "guard: self-training was worse on inner folds" if len(pool_UD) else "no unlabelled text to learn from"
        fitted.notes = ("self-training kept by the guard" if taught else f"{why}, supervised head kept",)
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


def worse(method: Teaching, rows: HeadRows, pool_UD: Vectors, material: Material, settings: HeadSettings) -> bool:
    """Whether self-training loses accuracy on labelled rows, out of inner folds, by more than `WORSE` standard errors.

    A smaller loss says little: at 8 rows a class five of twenty pools that helped came out below zero (LAB.md).
    Where rows are too few for inner folds, nothing is known against it.
    """
    labels_N = rows.labels_N[: rows.given]
    counts = np.bincount(labels_N)
    if counts[counts > 0].min() < INNER_FOLDS:
        return False
    groups = None if material.groups is None else list(material.groups)
    extra = np.arange(rows.given, len(rows.labels_N))
    gains: list[float] = []
    for split in repeated_folds(labels_N.tolist(), groups, folds=INNER_FOLDS, repeats=1, seed=material.seed):
        part = take(rows, np.concatenate([split.train, extra]), len(split.train))
        before = settings.fit(part, len(material.classes))
        after = self_train(method, part, pool_UD, len(material.classes), settings)
        truth = labels_N[split.test]
        gains += list(
            right(after, rows.vectors_ND[split.test], truth) - right(before, rows.vectors_ND[split.test], truth)
        )
    changed = np.count_nonzero(gains)
    return bool(sum(gains) < -WORSE * np.sqrt(changed + 1))


def take(rows: HeadRows, index: IntArray, given: int) -> HeadRows:
    """Some of the rows; the first `given` of `index` are labelled texts."""
    return dataclasses.replace(
        rows,
        vectors_ND=rows.vectors_ND[index],
        labels_N=rows.labels_N[index],
        weights_N=rows.weights_N[index],
        given=given,
    )


def right(head: LinearHead, vectors_ND: Vectors, labels_N: IntArray) -> FloatArray:
    """[N] 1 where the most probable class is the given one."""
    return np.asarray(head.logits(vectors_ND).argmax(1) == labels_N, dtype=np.float64)


def self_train(method: Teaching, rows: HeadRows, pool_UD: Vectors, classes: int, settings: HeadSettings) -> LinearHead:
    """Rounds of labelling the pool and fitting again; each round trusts more of it."""
    head = settings.fit(rows, classes)
    counts_C = np.bincount(rows.labels_N[: rows.given], minlength=classes).astype(np.float64)
    for round_ in range(1, method.rounds + 1):
        chosen, labels, confidence = surest(head.predict_proba(pool_UD), method.final_share * round_ / method.rounds)
        weights = [method.labelled_weight * rows.weights_N, align(confidence, labels, counts_C)]
        taught = dataclasses.replace(
            rows,
            vectors_ND=np.concatenate([rows.vectors_ND, pool_UD[chosen]]),
            labels_N=np.concatenate([rows.labels_N, labels]),
            weights_N=np.concatenate(weights),
        )
        head = settings.fit(taught, classes)
    return head


def surest(probs_UC: FloatArray, share: float) -> tuple[IntArray, IntArray, FloatArray]:
    """Indices, labels and confidence of the surest `share` of the texts each class wins."""
    winner_U, top_U = probs_UC.argmax(1), probs_UC.max(1)
    picked: list[int] = []
    for label in range(probs_UC.shape[1]):
        mine = np.flatnonzero(winner_U == label)
        picked += mine[np.argsort(-top_U[mine], kind="stable")[: int(np.ceil(share * len(mine)))]].tolist()
    chosen = np.asarray(picked, dtype=np.int64)
    return chosen, winner_U[chosen], top_U[chosen]


def align(confidence_P: FloatArray, labels_P: IntArray, counts_C: FloatArray) -> FloatArray:
    """Weights of pseudo-labelled rows: in a class by confidence, between classes in proportion to its labelled rows.

    The total stays what the confidences sum to. A class without labelled rows gets the weight of one row's share.
    """
    mass_C = np.bincount(labels_P, weights=confidence_P, minlength=len(counts_C))
    shares_C = np.where(mass_C > 0, np.maximum(counts_C, 1.0), 0.0)
    wanted_C = mass_C.sum() * shares_C / max(shares_C.sum(), 1e-12)
    return np.asarray(confidence_P * (wanted_C / np.maximum(mass_C, 1e-12))[labels_P])
