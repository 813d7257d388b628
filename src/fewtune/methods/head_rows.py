"""What a head is fitted on, and how strongly: labelled texts, class names as extra rows, and names to start from.

Class names tell a head something in two ways. As extra rows, one a class, they count beside the labelled ones. And as
what the head is pulled towards: without any label, the class whose name lies nearest is a fair guess (zero-shot), so
the weights are sought near those names times a scale, in place of near zero, as a prior's mean is. How far that guess
is to be trusted differs between datasets: the scale is chosen inside the fold, zero among the candidates.

Legend: N rows, C classes, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from fewtune.data.splits import repeated_folds
from fewtune.methods.base import FloatArray, IntArray, Material
from fewtune.methods.class_names import informative, names_to_read, weight
from fewtune.methods.head import LinearHead, Vectors, fit_head

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

INNER_FOLDS = 3
HEAD_FILE = "head.safetensors"
NAME_SCALES = (0.0, 2.0, 5.0, 10.0, 20.0)
"""Up to the scale that sentence encoders are trained with, at which zero-shot reads their cosines."""
DEFAULT_SCALE = 5.0
"""Where rows are too few to choose: the best single one on the mean of six sets at 8 rows a class (LAB.md)."""
CLEARLY = 2.0
"""Standard errors by which another strength must be better than the default, row by row."""
LOG_SHARPNESS = (-3.0, 3.0)
"""Between which the temperature is sought."""
Embed = Callable[[Sequence[str]], Vectors]


class Settling(Protocol):
    """The hyper-parameters of a head, whichever method carries them."""

    @property
    def strengths(self) -> tuple[float, ...]:
        """Candidates for the inverse regularisation `C`."""

    @property
    def default_strength(self) -> float:
        """Taken when rows are too few to choose."""

    @property
    def name_scales(self) -> tuple[float, ...]:
        """Candidates for what the cosine with a class name is multiplied by to start from; 0: start from nothing."""


@dataclass(frozen=True)
class HeadRows:
    """The rows a head is fitted on: labelled texts, then class names where they are used."""

    vectors_ND: Vectors
    labels_N: IntArray
    weights_N: FloatArray
    given: int
    """How many of the rows are labelled texts; the names come after."""
    names_CD: Vectors | None = None
    """A row times one of these is its cosine with that class's name; None where names are not used."""

    @property
    def names_used(self) -> bool:
        """Whether class names are among the rows."""
        return len(self.labels_N) > self.given


@dataclass(frozen=True)
class HeadSettings:
    """How strongly a head is fitted, and what from."""

    strength: float
    """Inverse regularisation `C`."""
    name_scale: float = 0.0

    def fit(self, rows: HeadRows, classes: int, index: IntArray | None = None) -> LinearHead:
        """The head on all rows, or those of `index`."""
        chosen = slice(None) if index is None else index
        towards_CD = None
        if rows.names_CD is not None and self.name_scale:
            towards_CD = np.float32(self.name_scale) * rows.names_CD
        return fit_head(
            rows.vectors_ND[chosen],
            rows.labels_N[chosen],
            classes,
            strength=self.strength,
            weights_N=rows.weights_N[chosen],
            towards_CD=towards_CD,
        )


def head_rows(
    material: Material,
    embed: Embed,
    *,
    class_names: bool,
    name_weight: float | None = None,
    read_names: Embed | None = None,
) -> HeadRows:
    """Embedded labelled texts, and embedded class names when they are words and point at the right classes.

    Parameters
    ----------
    embed : [N, D] of N texts.
    name_weight : of a name as a row; None: as much as a labelled one while those are few, less as they grow.
    read_names : [C, D] directions whose product with a text's `embed` is their cosine; None: `embed` itself gives them.
    """
    vectors_ND, labels_N = embed(material.texts), material.labels
    weights_N = np.ones(len(labels_N))
    names = names_to_read(material) if class_names else None
    if names is not None:
        names_CD = (read_names or embed)(names)
        if informative((vectors_ND @ names_CD.T).astype(np.float64), labels_N):
            classes = len(material.classes)
            by_rule = weight(len(labels_N), classes)
            name_weights_C = np.full(classes, by_rule if name_weight is None else name_weight)
            return HeadRows(
                np.concatenate([vectors_ND, embed(names)]),
                np.concatenate([labels_N, np.arange(classes)]),
                np.concatenate([weights_N, name_weights_C]),
                len(labels_N),
                names_CD,
            )
    return HeadRows(vectors_ND, labels_N, weights_N, len(labels_N))


def settled(material: Material, method: Settling) -> tuple[HeadRows, HeadSettings]:
    """The rows as the frozen encoder's features have them, and what is chosen on them."""
    assert material.encoder is not None
    encoder = material.encoder
    rows = head_rows(material, encoder.features, class_names=True, read_names=encoder.directions)
    return rows, settle(rows, material, method)


def beside(tuned_ND: Vectors, frozen: Encoder | None, texts: Sequence[str]) -> Vectors:
    """[N, 3D] tuned embeddings and the features that a frozen encoder has of the same texts; [N, D] without one."""
    return tuned_ND if frozen is None else np.concatenate([tuned_ND, frozen.features(texts)], axis=1)


def settle(rows: HeadRows, material: Material, method: Settling) -> HeadSettings:
    """Scale of the names, then strength, by their log losses over inner folds, each at its best temperature.

    The scale of least loss is taken; of the strengths the default, unless another is clearly better. Where no two
    classes have rows enough to be split, both are the defaults.
    """
    scales = method.name_scales if rows.names_CD is not None else (0.0,)
    strengths = method.strengths or (method.default_strength,)
    strength = method.default_strength if method.default_strength in strengths else strengths[0]
    splits = _inner_splits(rows.labels_N[: rows.given], material)
    if not splits or len(scales) == len(strengths) == 1:
        return HeadSettings(strength, DEFAULT_SCALE if DEFAULT_SCALE in scales else scales[0])
    names = np.arange(rows.given, len(rows.labels_N))
    truth = rows.labels_N[np.concatenate([test for _, test in splits])]

    def losses(settings: HeadSettings) -> FloatArray:
        heads = [settings.fit(rows, len(material.classes), np.concatenate([train, names])) for train, _ in splits]
        logits = [head.logits(rows.vectors_ND[test]) for head, (_, test) in zip(heads, splits, strict=True)]
        return _log_losses(np.concatenate(logits), truth)

    by_scale = [losses(HeadSettings(strength, scale)) for scale in scales]
    least = int(np.argmin([one.mean() for one in by_scale]))
    found, standing = HeadSettings(strength, scales[least]), by_scale[least]
    for other in strengths:
        if other != strength:
            loss = losses(HeadSettings(other, found.name_scale))
            gain = standing - loss
            if gain.mean() > CLEARLY * gain.std() / np.sqrt(len(gain)):
                found, standing = HeadSettings(other, found.name_scale), loss
    return found


def _inner_splits(labels_N: IntArray, material: Material) -> list[tuple[IntArray, IntArray]]:
    """Rows to learn from and rows held out; a class with too few rows or groups to be split is always learned from.

    No split where fewer than two classes can be split.
    """
    groups = [None] * len(labels_N) if material.groups is None else list(material.groups)
    apart: list[set[object]] = [set() for _ in range(int(labels_N.max(initial=0)) + 1)]
    for row, (label, group) in enumerate(zip(labels_N, groups, strict=True)):
        apart[label].add(row if group is None else str(group))
    enough_N = np.asarray([len(apart[label]) >= INNER_FOLDS for label in labels_N], dtype=bool)
    if len(np.unique(labels_N[enough_N])) < 2:
        return []
    can, rare = np.flatnonzero(enough_N), np.flatnonzero(~enough_N)
    inner = None if material.groups is None else [groups[row] for row in can]
    found = []
    for split in repeated_folds(labels_N[can].tolist(), inner, folds=INNER_FOLDS, repeats=1, seed=material.seed):
        train, test = can[split.train], can[split.test]
        held_out = {groups[row] for row in test} - {None}
        kept = [row for row in rare if groups[row] not in held_out]
        found.append((np.concatenate([train, np.asarray(kept, dtype=np.int64)]), test))
    return found


def _log_losses(logits_NC: FloatArray, labels_N: IntArray) -> FloatArray:
    """[N] log losses at the temperature that suits these logits best: scales and strengths differ in how sure they are,
    which costs nothing later, as probabilities are calibrated out of fold.
    """

    def at(log_sharpness: float) -> FloatArray:
        logs_NC = log_softmax(np.exp(log_sharpness) * logits_NC, axis=1)
        return np.asarray(-logs_NC[np.arange(len(labels_N)), labels_N], dtype=np.float64)

    found = minimize_scalar(lambda one: at(one).mean(), bounds=LOG_SHARPNESS, method="bounded", options={"xatol": 1e-2})
    return at(float(found.x))
