"""Scores of a classifier from labels and probabilities.

Conventions where a score would divide by zero:

- precision of a class never predicted, recall of a class without rows, F1 of a class neither predicted nor present: 0.
- Macro averages run over the classes that have at least one row, as balanced accuracy does; so a class absent from a
  small test file or from a bootstrap draw does not pull the score down. Where every class has a row, which is always so
  for the dataset the classes came from, this is scikit-learn's `average="macro"` over all classes.
- Matthews' coefficient is 0 when all labels or all predictions are one class.
- Log loss clips probabilities at the spacing of float64 at 1 (2.2e-16), as scikit-learn does.

Calibration error is that of the top class, over equal-mass bins, ⌊√N⌋ of them and at most 15: equal-width bins leave
most bins of a small dataset empty. It is biased upward on few rows: a perfectly calibrated model of accuracy p measures
about 0.8·√(p(1 − p)·bins/N) above 0, so read it beside its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fewtune.metrics.base import BoolArray, FloatArray, IntArray

MAX_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How one class fared."""

    name: str
    precision: float
    recall: float
    f1: float
    support: float
    """True rows of the class (fractional only when weights were given)."""


@dataclass(frozen=True)
class ClassificationScores:
    """Every score of one set of predictions."""

    accuracy: float
    balanced_accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    weighted_precision: float
    weighted_recall: float
    weighted_f1: float
    mcc: float
    log_loss: float
    brier: float
    """Sum over the classes of the squared error, averaged over rows: 0 to 2."""
    ece: float
    per_class: tuple[ClassScores, ...]
    confusion: tuple[tuple[float, ...], ...]
    """[C][C] rows of each true class (outer) by predicted class (inner)."""
    rows: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class RowScores:
    """What each prediction contributes; every score is a weighted sum of these, so a draw only changes weights."""

    labels_N: IntArray
    predicted_N: IntArray
    log_loss_N: FloatArray
    brier_N: FloatArray
    confidence_N: FloatArray
    order_N: IntArray
    """Rows by rising confidence."""
    tie_N: IntArray
    """Number of the distinct confidence of each place in `order_N`."""
    classes: int

    @classmethod
    def of(cls, labels_N: ArrayLike, probs_NC: ArrayLike) -> RowScores:
        """From labels and probabilities."""
        labels, probs = np.asarray(labels_N, dtype=np.int64), np.asarray(probs_NC, dtype=np.float64)
        assert probs.ndim == 2, f"probabilities must be [N, C], not {probs.shape}"
        assert len(labels) == len(probs) > 0, f"{len(labels)} labels for probabilities {probs.shape}"
        assert np.allclose(probs.sum(axis=1), 1.0, atol=1e-3), "each row of probabilities must sum to one"
        chosen_N = probs[np.arange(len(labels)), labels]
        confidence_N = probs.max(axis=1)
        order_N = np.argsort(confidence_N, kind="stable")
        rises_N = np.diff(confidence_N[order_N], prepend=confidence_N[order_N[0]]) > 0
        return cls(
            labels_N=labels,
            predicted_N=probs.argmax(axis=1),
            log_loss_N=-np.log(np.clip(chosen_N, np.finfo(np.float64).eps, 1.0)),
            brier_N=(probs**2).sum(axis=1) - 2 * chosen_N + 1,
            confidence_N=confidence_N,
            order_N=order_N,
            tie_N=np.cumsum(rises_N),
            classes=probs.shape[1],
        )

    def confusion(self, weights_N: FloatArray) -> FloatArray:
        """[C, C] weight of each true class (rows) by predicted class (columns)."""
        cell_N = self.labels_N * self.classes + self.predicted_N
        cells = np.bincount(cell_N, weights=weights_N, minlength=self.classes**2)
        return np.asarray(cells, dtype=np.float64).reshape(self.classes, self.classes)

    def bins(self, weights_N: FloatArray, bins: int) -> IntArray:
        """[N] equal-mass bin of each place in `order_N`; equal confidences fall together, at their middle rank."""
        mass_T = np.bincount(self.tie_N, weights=weights_N[self.order_N])
        middle_T = (np.cumsum(mass_T) - mass_T / 2) / mass_T.sum()
        bin_T = np.clip((middle_T * bins).astype(np.int64), 0, bins - 1)
        return np.asarray(bin_T[self.tie_N], dtype=np.int64)

    def ece(self, weights_N: FloatArray, bins: int) -> float:
        """Sum over the bins of |accuracy − confidence|, each weighted by its mass."""
        bin_N = self.bins(weights_N, bins)
        gap_N = (self.predicted_N == self.labels_N) - self.confidence_N
        gap_bins = np.bincount(bin_N, weights=(gap_N * weights_N)[self.order_N], minlength=bins)
        return float(np.abs(gap_bins).sum() / weights_N.sum())


def accuracy(labels_N: IntArray, predicted_N: IntArray) -> float:
    """Share of rows predicted right."""
    return float(np.mean(labels_N == predicted_N))


def ece_bins(rows: int) -> int:
    """How many bins calibration error is measured over: ⌊√rows⌋, from 1 to 15."""
    return int(min(MAX_BINS, max(1, np.floor(np.sqrt(rows)))))


def expected_calibration_error(labels_N: ArrayLike, probs_NC: ArrayLike, *, bins: int | None = None) -> float:
    """Expected calibration error of the top class over equal-mass bins (Naeini et al. 2015; Nguyen & O'Connor 2015).

    Parameters
    ----------
    labels_N, probs_NC : true classes and probabilities.
    bins : number of bins; ⌊√N⌋, at most 15, when not given.
    """
    rows = RowScores.of(labels_N, probs_NC)
    return rows.ece(np.ones(len(rows.labels_N)), bins or ece_bins(len(rows.labels_N)))


def divide(over: FloatArray, under: FloatArray) -> FloatArray:
    """`over / under`, 0 where `under` is 0."""
    return np.divide(over, under, out=np.zeros_like(over, dtype=np.float64), where=under > 0)


def per_class_rates(confusion_CC: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """[C] precision, recall and F1 of each class."""
    right_C, support_C, predicted_C = np.diag(confusion_CC), confusion_CC.sum(axis=1), confusion_CC.sum(axis=0)
    return (
        divide(right_C, predicted_C),
        divide(right_C, support_C),
        divide(2 * right_C, support_C + predicted_C),
    )


def matthews(confusion_CC: FloatArray) -> float:
    """Multi-class Matthews correlation coefficient (Gorodkin 2004); 0 when labels or predictions do not vary."""
    support_C, predicted_C, total = confusion_CC.sum(axis=1), confusion_CC.sum(axis=0), confusion_CC.sum()
    covariance = np.trace(confusion_CC) * total - support_C @ predicted_C
    spread = (total**2 - predicted_C @ predicted_C) * (total**2 - support_C @ support_C)
    return float(covariance / np.sqrt(spread)) if spread > 1e-12 * total**4 else 0.0


SUMMARY = (
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "mcc",
    "log_loss",
    "brier",
    "ece",
)
"""Names of the scores `summary` gives, in order."""


def summary(rows: RowScores, weights_N: FloatArray, bins: int) -> FloatArray:
    """[S] the scores named in `SUMMARY`, each row counted `weights_N` times."""
    confusion_CC, total = rows.confusion(weights_N), weights_N.sum()
    support_C = confusion_CC.sum(axis=1)
    present_C: BoolArray = support_C > 0
    rates_3C = np.stack(per_class_rates(confusion_CC))
    macro_3 = rates_3C[:, present_C].mean(axis=1)
    weighted_3 = rates_3C @ support_C / total
    right = np.trace(confusion_CC) / total
    proper = (weights_N @ rows.log_loss_N / total, weights_N @ rows.brier_N / total, rows.ece(weights_N, bins))
    return np.array([right, macro_3[1], *macro_3, *weighted_3, matthews(confusion_CC), *proper])


def classification_scores(
    labels_N: ArrayLike,
    probs_NC: ArrayLike,
    classes: Sequence[str],
    *,
    weights_N: ArrayLike | None = None,
) -> ClassificationScores:
    """Every score of one set of predictions.

    Parameters
    ----------
    labels_N : indices into `classes`.
    probs_NC : probabilities in the order of `classes`; each row sums to one.
    classes : [C] names.
    weights_N : how often each row counts, once when not given; with P repeats of a cross-validation pooled, 1/P makes
        the confusion matrix add up to the number of rows.

    Examples
    --------
    >>> classification_scores([0, 1], [[0.9, 0.1], [0.4, 0.6]], ["no", "yes"]).accuracy
    1.0
    """
    rows = RowScores.of(labels_N, probs_NC)
    assert rows.classes == len(classes), f"{len(classes)} class names for {rows.classes} columns of probabilities"
    weights = np.ones(len(rows.labels_N)) if weights_N is None else np.asarray(weights_N, dtype=np.float64)
    confusion_CC, total = rows.confusion(weights), weights.sum()
    precision_C, recall_C, f1_C = per_class_rates(confusion_CC)
    scores_S = summary(rows, weights, ece_bins(round(total)))
    return ClassificationScores(
        **dict(zip(SUMMARY, map(float, scores_S), strict=True)),
        per_class=tuple(
            ClassScores(name, float(precision_C[c]), float(recall_C[c]), float(f1_C[c]), float(confusion_CC[c].sum()))
            for c, name in enumerate(classes)
        ),
        confusion=tuple(tuple(map(float, row_C)) for row_C in confusion_CC),
        rows=round(total),
    )
