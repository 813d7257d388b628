"""Probe: frozen features and a logistic regression, with class names as extra rows while rows are few.

Everything that is chosen (strength, whether names help) is chosen from the training rows of the fold alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fewtune.data.splits import repeated_folds
from fewtune.methods.base import ClosedFormMethod, Fitted, FloatArray, IntArray, Material
from fewtune.methods.class_names import informative, names_to_read, weight
from fewtune.methods.head import LinearHead, fit_head

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

INNER_FOLDS = 3
HEAD_FILE = "head.safetensors"
Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class HeadRows:
    """The rows a head is fitted on: labelled texts, then class names where they are used."""

    vectors_ND: NDArray[np.float32]
    labels_N: IntArray
    weights_N: FloatArray
    given: int
    """How many of the rows are labelled texts; the names come after."""

    @property
    def names_used(self) -> bool:
        """Whether class names are among the rows."""
        return len(self.labels_N) > self.given


def head_rows(material: Material, embed: Embed, *, class_names: bool, name_weight: float | None = None) -> HeadRows:
    """Embedded labelled texts, and embedded class names when they are words and point at the right classes."""
    vectors_ND, labels_N = embed(material.texts), material.labels
    weights_N = np.ones(len(labels_N))
    names = names_to_read(material) if class_names else None
    if names is not None:
        names_CD = embed(names)
        if informative((vectors_ND @ names_CD.T).astype(np.float64), labels_N):
            classes = len(material.classes)
            by_rule = weight(len(labels_N), classes)
            name_weights_C = np.full(classes, by_rule if name_weight is None else name_weight)
            return HeadRows(
                np.concatenate([vectors_ND, names_CD]),
                np.concatenate([labels_N, np.arange(classes)]),
                np.concatenate([weights_N, name_weights_C]),
                len(labels_N),
            )
    return HeadRows(vectors_ND, labels_N, weights_N, len(labels_N))


def choose_strength(rows: HeadRows, material: Material, strengths: Sequence[float], default: float) -> float:
    """The strength with the least log loss over inner folds; `default` when a class has too few rows to split."""
    counts = np.bincount(rows.labels_N[: rows.given])
    if len(strengths) == 1 or counts[counts > 0].min() < INNER_FOLDS or len(counts[counts > 0]) < 2:
        return default
    labels_N = rows.labels_N[: rows.given]
    groups = None if material.groups is None else list(material.groups)
    splits = repeated_folds(labels_N.tolist(), groups, folds=INNER_FOLDS, repeats=1, seed=material.seed)
    extra = np.arange(rows.given, len(rows.labels_N))
    losses = []
    for strength in strengths:
        total = 0.0
        for split in splits:
            train = np.concatenate([split.train, extra])
            head = fit_head(
                rows.vectors_ND[train],
                rows.labels_N[train],
                len(material.classes),
                strength=strength,
                weights_N=rows.weights_N[train],
            )
            probs_NC = head.predict_proba(rows.vectors_ND[split.test])
            right_N = probs_NC[np.arange(len(split.test)), labels_N[split.test]]
            total -= float(np.log(np.clip(right_N, 1e-6, 1.0)).sum())
        losses.append(total)
    return float(strengths[int(np.argmin(losses))])


def fit_on(rows: HeadRows, material: Material, strength: float) -> LinearHead:
    """The head on all rows."""
    return fit_head(rows.vectors_ND, rows.labels_N, len(material.classes), strength=strength, weights_N=rows.weights_N)


@dataclass(frozen=True)
class Probe(ClosedFormMethod):
    """Frozen features of two layers and a logistic regression."""

    name: ClassVar[str] = "probe"
    title: ClassVar[str] = "Probe (frozen encoder + logistic regression)"
    rung: ClassVar[int] = 2

    strengths: tuple[float, ...] = (1.0, 10.0, 100.0)
    """Candidates for the inverse regularisation `C`."""
    default_strength: float = 10.0
    """Taken when rows are too few to choose: at 8 a class 10 beats scikit-learn's 1 by 5 points on banking77."""
    class_names: bool = True
    """Whether class names may join as rows."""
    name_weight: float | None = None
    """How much a class name counts beside a labelled row; None: as much while rows are few, less as they grow."""

    def fit(self, material: Material) -> Fitted:
        """Embed, choose the strength inside the fold, fit."""
        assert material.encoder is not None
        rows = head_rows(
            material, material.encoder.features, class_names=self.class_names, name_weight=self.name_weight
        )
        strength = choose_strength(rows, material, self.strengths, self.default_strength)
        fitted = FittedProbe(material.encoder, fit_on(rows, material, strength))
        names = "with class names as rows" if rows.names_used else "without class names"
        fitted.notes = (f"strength {strength:g}, {names}",)
        return fitted

    @classmethod
    def load(cls, folder: Path, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
        """Read the head."""
        assert encoder is not None
        return FittedProbe(encoder, LinearHead.load(folder / HEAD_FILE))


class FittedProbe(Fitted):
    """A head on a frozen encoder."""

    def __init__(self, encoder: Encoder, head: LinearHead) -> None:
        self.encoder, self.head = encoder, head
        self.trainable_parameters = head.size

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        """Probabilities from the head."""
        # A head fitted on a tuned body reads its last layer, a frozen probe's reads two: the width tells.
        frozen = self.head.weight_CD.shape[1] == 2 * self.encoder.width
        return self.head.predict_proba(self.encoder.features(texts) if frozen else self.encoder.embed(texts))

    def save(self, folder: Path) -> None:
        """Write the head; the backbone is saved by whoever saves the model folder."""
        self.head.save(folder / HEAD_FILE)
