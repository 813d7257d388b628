"""Whether a probability means what it says, and what to do with it: temperature, reliability, abstention.

Everything here is to be given out-of-fold predictions; on rows the model was trained on the answers are worthless.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from fewtune.metrics.base import FloatArray
from fewtune.metrics.classification import RowScores, ece_bins
from fewtune.metrics.intervals import Interval, wilson

SMALLEST_PROBABILITY = 1e-6
"""Probabilities are clipped here before their logarithm: below, float32 softmax is noise that would decide T."""
TEMPERATURES = (0.05, 20.0)
MINIMUM_KEPT = 10


def log_probabilities(probs_NC: ArrayLike) -> FloatArray:
    """[N, C] logarithms of probabilities, clipped at 1e-6: scores that `fit_temperature` takes."""
    return np.log(np.clip(np.asarray(probs_NC, dtype=np.float64), SMALLEST_PROBABILITY, 1.0))


def fit_temperature(scores_NC: ArrayLike, labels_N: ArrayLike) -> float:
    """The T that minimises the log loss of softmax(scores / T) (Guo et al. 2017).

    Parameters
    ----------
    scores_NC : logits or `log_probabilities(...)`, out of fold.
    labels_N : true classes.

    Returns
    -------
    float
        In [0.05, 20]; above 1 the model was too sure. The loss is convex in 1/T, so the minimum is the only one. When
        every row is right the loss has no minimum and T ends at the lower bound, which would claim certainty that a
        few rows cannot give; T is then 1.
    """
    scores, labels = np.asarray(scores_NC, dtype=np.float64), np.asarray(labels_N, dtype=np.int64)
    rows = np.arange(len(labels))
    if (scores.argmax(axis=1) == labels).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(scores / np.exp(log_temperature), axis=1)[rows, labels].mean())

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def apply_temperature(scores_NC: ArrayLike, temperature: float) -> FloatArray:
    """[N, C] softmax(scores / T)."""
    scaled = np.asarray(scores_NC, dtype=np.float64) / temperature
    return np.asarray(np.exp(log_softmax(scaled, axis=1)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One point of a reliability diagram."""

    count: int
    confidence: float
    """Mean confidence of its rows."""
    accuracy: float
    low: float
    high: float
    """Wilson interval of `accuracy`, at 95 %."""


def reliability(labels_N: ArrayLike, probs_NC: ArrayLike, *, bins: int | None = None) -> tuple[ReliabilityBin, ...]:
    """The reliability diagram over equal-mass bins, as calibration error uses; empty bins are left out.

    Parameters
    ----------
    labels_N, probs_NC : true classes and out-of-fold probabilities.
    bins : ⌊√N⌋, at most 15, when not given.
    """
    rows = RowScores.of(labels_N, probs_NC)
    total = len(rows.labels_N)
    bin_N = rows.bins(np.ones(total), bins or ece_bins(total))
    right_N = (rows.predicted_N == rows.labels_N)[rows.order_N]
    confidence_N = rows.confidence_N[rows.order_N]
    points = []
    for number in np.unique(bin_N):
        inside = bin_N == number
        count, share = int(inside.sum()), float(right_N[inside].mean())
        points.append(ReliabilityBin(count, float(confidence_N[inside].mean()), share, *wilson(share, count)))
    return tuple(points)


@dataclass(frozen=True)
class Abstention:
    """Answer only when sure enough."""

    target_precision: float
    threshold: float | None
    """Answer when the confidence is at least this; None when no threshold reaches the target on enough rows."""
    coverage: float
    """Share of rows answered; 0 without a threshold."""
    precision: Interval | None
    """Share of the answered rows that is right."""
    rows_kept: int
    reason: str = ""
    """Why there is no threshold."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def abstention(
    probs_NC: ArrayLike, labels_N: ArrayLike, *, target_precision: float = 0.9, minimum_kept: int = MINIMUM_KEPT
) -> Abstention:
    """The smallest confidence at which the answers kept are right as often as asked.

    The target is held against the *measured* precision: on 20 to 200 rows the lower end of an interval would almost
    never reach 0.9, and the person would be told to answer nothing. The price is that the threshold was chosen on the
    rows it is measured on, so its precision is a little flattered; hence the Wilson interval beside it, and the
    smallest number of rows kept.

    Parameters
    ----------
    probs_NC, labels_N : out-of-fold probabilities and true classes.
    target_precision : in (0, 1].
    minimum_kept : thresholds that keep fewer rows are noise and not considered.
    """
    rows = RowScores.of(labels_N, probs_NC)
    order_N = rows.order_N[::-1]
    confidence_N = rows.confidence_N[order_N]
    kept_N = np.arange(1, len(order_N) + 1)
    precision_N = np.cumsum((rows.predicted_N == rows.labels_N)[order_N]) / kept_N
    # A threshold keeps every row of equal confidence: only the last of them is a place to cut.
    cut_N = np.append(confidence_N[1:] < confidence_N[:-1], True)
    allowed = cut_N & (kept_N >= minimum_kept)
    if not allowed.any():
        return Abstention(target_precision, None, 0.0, None, 0, f"fewer than {minimum_kept} rows were measured")
    reached = np.flatnonzero(allowed & (precision_N >= target_precision - 1e-12))
    if not len(reached):
        best = float(precision_N[allowed].max())
        reason = f"no threshold that keeps {minimum_kept} rows or more is right more often than {best:.0%}"
        return Abstention(target_precision, None, 0.0, None, 0, reason)
    last = int(reached[-1])
    share, kept = float(precision_N[last]), int(kept_N[last])
    interval = Interval(share, *wilson(share, kept), 0.95, f"Wilson on {kept} rows; the threshold was chosen on them")
    return Abstention(target_precision, float(confidence_N[last]), kept / len(order_N), interval, kept)


__all__ = [
    "Abstention",
    "ReliabilityBin",
    "abstention",
    "apply_temperature",
    "fit_temperature",
    "log_probabilities",
    "reliability",
]
