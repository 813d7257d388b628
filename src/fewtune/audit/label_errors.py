"""Rows most likely mislabelled: rows are shown and ranked, never deleted.

Two witnesses who have not seen a row say what its label should be: the model that predicted it out of fold, and the
centre of each class in the space that model reads, taken without the row and its copies. Single wrong labels bend a
centre less than a fitted boundary. Their probabilities are averaged, then each class is held to its own standard, as
in confident learning (Northcutt, Jiang & Chuang 2021): divided by the square root of how much the rows that carry the
label are believed on average, so that a class that is hard throughout does not fill the list. Rows are ranked by what
is left for their given label. How many to show is cleanlab's estimate of the number of errors.

How it was chosen and how it compares: `benchmarks/audit/label_noise.py`.

Legend: N rows, C classes, c classes with a row, F width of the features, P pairs of a group and a class in it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.base import Check, Finding, Ground, Need, Row, Value, named
from fewtune.audit.neighbours import Neighbour, agreeing
from fewtune.plural import counted

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SHARPNESS = 30.0
"""Multiplies the cosine between a row and a class's centre before the softmax. 20 to 40 rank alike."""
OWN_STANDARD = 0.5
"""Power of a class's mean belief. At 0 a class that has lost many labels to one other hides its errors (precision .28
in place of .32); at 1 scattered errors are ranked worse (.70 in place of .71)."""
MANY = 0.05
"""Share of rows from which doubtful labels are a warning; below they are worth a look."""


@dataclass(frozen=True)
class Suspect:
    """A row whose label is not believed by what has not seen it."""

    index: int
    given: str
    suggested: str
    probability_given: float
    probability_suggested: float


def label_errors(
    labels_N: IntArray,
    probs_NC: FloatArray,
    classes: Sequence[str],
    *,
    features_NF: NDArray[np.floating] | None = None,
    groups_N: Sequence[int] | None = None,
    most: int | None = 25,
) -> list[Suspect]:
    """Suspects, worst first, at most `most`.

    Parameters
    ----------
    labels_N : given labels, indices into `classes`.
    probs_NC : out-of-fold probabilities: no row's own label may have been seen by what predicted it.
    features_NF : unit-length vectors of the rows; without them the first witness speaks alone.
    groups_N : rows that belong together (copies, say) and may not vouch for one another.
    """
    if len(np.unique(labels_N)) < 2:
        return []
    beliefs_NC = beliefs(labels_N, probs_NC, features_NF, groups_N)
    doubted = beliefs_NC.argmax(1) != labels_N
    ranked = [int(row) for row in ranking(labels_N, beliefs_NC) if doubted[row]]
    shown = min(len(ranked), estimated(labels_N, beliefs_NC))
    return [
        _suspect(row, labels_N, beliefs_NC, classes) for row in ranked[: shown if most is None else min(shown, most)]
    ]


def beliefs(
    labels_N: IntArray,
    probs_NC: FloatArray,
    features_NF: NDArray[np.floating] | None = None,
    groups_N: Sequence[int] | None = None,
) -> FloatArray:
    """[N, C] how far each label is believed for each row, rows summing to one; labels nobody has are not believed.

    A row whose label no other group carries cannot be judged: its own label is believed.
    """
    classes = probs_NC.shape[1]
    present_C = np.bincount(labels_N, minlength=classes) > 0
    believed_NC = np.where(present_C, np.clip(probs_NC, 1e-9, None), 0.0)
    believed_NC /= believed_NC.sum(1, keepdims=True)
    if features_NF is not None:
        believed_NC = (believed_NC + centre_probs(features_NF, labels_N, classes, groups_N)) / 2
    standard_C = np.ones(classes)
    for label in np.flatnonzero(present_C):
        standard_C[label] = max(float(believed_NC[labels_N == label, label].mean()), 1e-6)
    believed_NC = believed_NC / standard_C**OWN_STANDARD
    alone_N = _alone(labels_N, groups_N)
    believed_NC[alone_N] = np.eye(classes)[labels_N[alone_N]]
    return np.asarray(believed_NC / believed_NC.sum(1, keepdims=True), dtype=np.float64)


def ranking(labels_N: IntArray, beliefs_NC: FloatArray) -> IntArray:
    """[N] all rows, the least believed label first."""
    return np.argsort(beliefs_NC[np.arange(len(labels_N)), labels_N], kind="stable").astype(np.int64)


def estimated(labels_N: IntArray, beliefs_NC: FloatArray) -> int:
    """How many labels are wrong, by confident learning; of rows that are merely hard it counts some too."""
    from cleanlab.count import num_label_issues

    present = np.unique(labels_N)
    place_C = np.zeros(beliefs_NC.shape[1], dtype=np.int64)
    place_C[present] = np.arange(len(present))
    kept_Nc = np.clip(beliefs_NC[:, present], 1e-9, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cleanlab warns of small classes, and small classes are what we are for
        return int(num_label_issues(place_C[labels_N], kept_Nc / kept_Nc.sum(1, keepdims=True)))


def centre_probs(
    features_NF: NDArray[np.floating], labels_N: IntArray, classes: int, groups_N: Sequence[int] | None = None
) -> FloatArray:
    """[N, C] softmax of the cosine between a row and the centre of each class, the row's own group left out of it."""
    rows = len(labels_N)
    group_N = np.arange(rows) if groups_N is None else np.unique(groups_N, return_inverse=True)[1]
    features_NF = np.asarray(features_NF, dtype=np.float64)
    sums_CF = np.zeros((classes, features_NF.shape[1]))
    np.add.at(sums_CF, labels_N, features_NF)
    dots_NC, squares_NC = features_NF @ sums_CF.T, np.tile((sums_CF**2).sum(1), (rows, 1))
    pairs, pair_N = np.unique(group_N * classes + labels_N, return_inverse=True)
    own_PF = np.zeros((len(pairs), features_NF.shape[1]))
    np.add.at(own_PF, pair_N, features_NF)
    rest_P = ((sums_CF[pairs % classes] - own_PF) ** 2).sum(1)
    for row, pair in _own_pairs(group_N, pairs // classes):
        label = pairs[pair] % classes
        dots_NC[row, label] -= (features_NF[row] * own_PF[pair]).sum(1)
        squares_NC[row, label] = rest_P[pair]
    logits_NC = SHARPNESS * dots_NC / np.sqrt(np.maximum(squares_NC, 1e-12))
    logits_NC[:, np.bincount(labels_N, minlength=classes) == 0] = -np.inf
    shifted_NC = np.exp(logits_NC - logits_NC.max(1, keepdims=True))
    return np.asarray(shifted_NC / shifted_NC.sum(1, keepdims=True), dtype=np.float64)


def _own_pairs(group_N: IntArray, group_P: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows, and a pair of each row's own group; one turn for each class the fullest group has."""
    first_G = np.searchsorted(group_P, np.arange(int(group_N.max()) + 1))
    count_G = np.bincount(group_P)
    for turn in range(int(count_G.max())):
        rows = np.flatnonzero(count_G[group_N] > turn)
        yield rows, first_G[group_N[rows]] + turn


def _alone(labels_N: IntArray, groups_N: Sequence[int] | None) -> NDArray[np.bool_]:
    """[N] whether no row outside its own group has the row's label."""
    group_N = np.arange(len(labels_N)) if groups_N is None else np.asarray(groups_N)
    spread: dict[int, set[int]] = {}
    for label, group in zip(labels_N.tolist(), group_N.tolist(), strict=True):
        spread.setdefault(label, set()).add(group)
    return np.asarray([len(spread[label]) == 1 for label in labels_N.tolist()])


def _suspect(row: int, labels_N: IntArray, beliefs_NC: FloatArray, classes: Sequence[str]) -> Suspect:
    best, given = int(beliefs_NC[row].argmax()), int(labels_N[row])
    return Suspect(row, classes[given], classes[best], float(beliefs_NC[row, given]), float(beliefs_NC[row, best]))


def suspects(ground: Ground, *, most: int | None = None) -> list[Suspect]:
    """The suspects among the training rows of a ground that has predictions."""
    seen = ground.predictions
    features_NF = seen.features_NF
    return label_errors(
        seen.labels_N, seen.probs_NC, ground.train.classes, features_NF=features_NF, groups_N=ground.groups, most=most
    )


class LabelErrors(Check):
    """Labels that a model, not having seen the row, does not believe."""

    name: ClassVar[str] = "label_errors"
    title: ClassVar[str] = "Labels to check"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "predictions"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """One finding with every suspect, worst first, the suggested label and the rows that speak for each."""
        found = suspects(ground)
        if not found:
            return
        rows = len(ground.train)
        are = "is" if len(found) == 1 else "are"
        yield Finding(
            self.name,
            "warning" if len(found) >= MANY * rows else "note",
            f"{len(found)} of {counted(rows, 'label')} {are} doubtful: a model that has not seen them expects another.",
            "About half of such rows are truly wrong, the worst first; the rest are hard or fit two classes. Wrong "
            "labels teach errors, and a right answer on such a row is counted as a wrong one.",
            "Look at them one by one with `fewtune check FILE --review`, which writes a corrected copy.",
            tuple(_row(ground, suspect) for suspect in found),
            {"suspects": [_details(ground, suspect) for suspect in found]},
        )


def _row(ground: Ground, suspect: Suspect) -> Row:
    note = (
        f"looks like {suspect.suggested!r} ({suspect.probability_suggested:.0%}, given {suspect.probability_given:.0%})"
    )
    return named("train", ground.train.examples[suspect.index], note=note, score=round(suspect.probability_given, 4))


def _details(ground: Ground, suspect: Suspect) -> dict[str, Value]:
    def told(neighbours: tuple[Neighbour, ...]) -> list[Value]:
        return [
            {"row": near.example.row, "id": near.example.id, "text": near.example.text, "similarity": near.similarity}
            for near in neighbours
        ]

    example = ground.train.examples[suspect.index]
    return {
        "row": example.row,
        "id": example.id,
        "given": suspect.given,
        "suggested": suspect.suggested,
        "probability_given": round(suspect.probability_given, 4),
        "probability_suggested": round(suspect.probability_suggested, 4),
        "nearest_as_suggested": told(agreeing(ground, suspect.index, suspect.suggested)),
        "nearest_as_given": told(agreeing(ground, suspect.index, suspect.given)),
    }
