"""Multinomial logistic regression for many small fits on the same rows: the one solver under every head.

The optimum is that of scikit-learn's `LogisticRegression` (`C`, one weight a row, intercepts free), reached in a third
to a seventh of the time by three things. The rows are turned once into their principal directions (`Turned`): inside
them a fit is never wider than the rows are many, the penalty stays what it was, and the curvature of the loss is known
well enough to scale every direction by it (a diagonal preconditioner). Products run in float32. And the turning is
kept for as long as the same rows come again, which is what a sweep over strengths and weights does.

What is kept depends on the rows alone, so a fit gives the same bits whatever was fitted before it.

Legend: N rows, D width of an embedding, R principal directions, C classes, P = R + 1 with the intercept last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fewtune.methods.base import FloatArray, IntArray

Single = NDArray[np.float32]
TOLERANCE = 1e-5
"""Largest entry of the gradient of the mean loss at which a fit is finished: a tenth of scikit-learn's."""
MOST_STEPS = 500
MEMORY = 8
"""Pairs of steps L-BFGS remembers."""
SMALLEST_DIRECTION = 1e-9
"""Directions with less than this share of the largest variance hold rounding, not rows."""
KEPT = 4
"""Sets of rows whose turning is kept: an inner choice of strength goes round three folds and the whole."""
LEAST_CURVATURE = 0.02
"""Of a weight, as a share of the mean of its direction: where no row of a class is in doubt, it is next to nothing."""


@dataclass(frozen=True, eq=False)
class Turned:
    """Rows in their principal directions."""

    rows_ND: NDArray[np.floating]
    """As given, to be recognised by."""
    turned_NR: Single
    mean_D: FloatArray
    directions_DR: FloatArray
    curvature_R: FloatArray
    """Mean square of the rows in each direction."""
    landmarks: dict[tuple[bytes, int], Single] = field(default_factory=dict)
    """[P, C] solutions by labels and power of ten, every row counting alike."""

    @cached_property
    def design_NP(self) -> Single:
        """The turned rows, and a one for the intercept."""
        return np.append(self.turned_NR, np.ones((len(self.turned_NR), 1), dtype=np.float32), axis=1)

    @cached_property
    def squares_NP(self) -> Single:
        """The design's numbers squared."""
        return np.square(self.design_NP)

    def head(self, solution_PC: FloatArray) -> tuple[FloatArray, FloatArray]:
        """[C, D] weights and [C] intercepts in the coordinates of the rows as they were given."""
        weight_DC = self.directions_DR @ solution_PC[:-1]
        bias_C = solution_PC[-1] - self.mean_D @ weight_DC
        return weight_DC.T, bias_C - bias_C.mean()  # intercepts are free up to a constant


_kept: deque[Turned] = deque(maxlen=KEPT)


def turn(rows_ND: NDArray[np.floating]) -> Turned:
    """The rows in their principal directions; the last few sets of rows are remembered."""
    for known in _kept:
        if known.rows_ND.shape == rows_ND.shape and np.array_equal(known.rows_ND, rows_ND):
            return known
    turned = _turn(rows_ND)
    _kept.append(turned)
    return turned


def _turn(rows_ND: NDArray[np.floating]) -> Turned:
    mean_D = rows_ND.mean(0, dtype=np.float64)
    centred_ND = np.asarray(rows_ND, dtype=np.float64) - mean_D
    rows, width = centred_ND.shape
    if rows < width:
        squares, basis = _largest_first(centred_ND @ centred_ND.T)
        directions_DR = centred_ND.T @ (basis / np.sqrt(squares))
    else:
        squares, directions_DR = _largest_first(centred_ND.T @ centred_ND)
    turned_NR = (centred_ND @ directions_DR).astype(np.float32)
    return Turned(rows_ND.copy(), turned_NR, mean_D, directions_DR, squares / rows)


def _largest_first(gram: FloatArray) -> tuple[FloatArray, FloatArray]:
    values, vectors = np.linalg.eigh(gram)
    real = values > SMALLEST_DIRECTION * max(values[-1], np.finfo(np.float64).tiny)
    return values[real][::-1], np.ascontiguousarray(vectors[:, real][:, ::-1])


def fit_logistic(
    turned: Turned,
    labels_N: IntArray,
    weights_N: FloatArray,
    *,
    strength: float,
    offsets_NC: FloatArray | None = None,
) -> FloatArray:
    """[P, C] minimum of strength · Σ weight · cross-entropy + ½ ‖weights‖², labels being 0 … C - 1.

    Between two classes scikit-learn fits one row of weights and ½ is its penalty; here two, each its half, so the
    penalty counts double.

    Parameters
    ----------
    offsets_NC : what is added to the logits before anything is learned; None: nothing.
    """
    problem = _Problem(turned, labels_N, weights_N, strength, offsets_NC)
    power = float(np.log10(strength))
    below = int(np.floor(power))
    if offsets_NC is not None or round(power, 9) == round(power):
        return problem.from_nothing().astype(np.float64)
    low_PC, high_PC = (_landmark(turned, labels_N, place) for place in (below, below + 1))
    return problem.from_near(low_PC + np.float32(power - below) * (high_PC - low_PC)).astype(np.float64)


def _landmark(turned: Turned, labels_N: IntArray, power: int) -> Single:
    """[P, C] the solution for a power of ten, every row counting alike."""
    key = (labels_N.tobytes(), power)
    if key not in turned.landmarks:
        turned.landmarks[key] = _Problem(turned, labels_N, np.ones(len(labels_N)), 10.0**power).from_nothing()
    return turned.landmarks[key]


class _Problem:
    """One fit: what is minimised, in the rows' own coordinates."""

    def __init__(
        self,
        turned: Turned,
        labels_N: IntArray,
        weights_N: FloatArray,
        strength: float,
        offsets_NC: FloatArray | None = None,
    ) -> None:
        self.turned, self.labels_N = turned, labels_N
        self.offsets_NC = None if offsets_NC is None else offsets_NC.astype(np.float32)
        self.classes, total = int(labels_N.max()) + 1, float(weights_N.sum())
        self.shares_N = (weights_N / total).astype(np.float32)
        self.ridge = (2.0 if self.classes == 2 else 1.0) / (strength * total)
        self.ridge_P1 = np.full((turned.design_NP.shape[1], 1), self.ridge, dtype=np.float32)
        self.ridge_P1[-1] = 0  # intercepts are free
        self.every = np.arange(len(labels_N))

    def from_nothing(self) -> Single:
        """The solution, sought from zero."""
        # How curved the loss is in a direction, beside the penalty: p(1 - p), a quarter at most; with many classes most
        # rows have next to nothing to say about any one of them.
        bend = min(0.25, 4 / self.classes**2)
        bent_P = np.append(bend * self.turned.curvature_R + self.ridge, bend)
        start_PC = np.zeros((len(bent_P), self.classes), dtype=np.float32)
        return self._solve(
            start_PC, self.loss_and_gradient(start_PC), (1 / np.sqrt(bent_P)).astype(np.float32)[:, None]
        )

    def from_near(self, start_PC: Single) -> Single:
        """The solution, sought from a point near it: the curvature there is that of every weight by itself."""
        probs_NC, logs_N = self._softmax(start_PC)
        doubt_NC = probs_NC * (1 - probs_NC) * self.shares_N[:, None]
        bent_PC = self.turned.squares_NP.T @ doubt_NC
        least_P1 = LEAST_CURVATURE * bent_PC.mean(axis=1, keepdims=True) + np.float32(1e-12)
        there = self._loss_and_gradient(start_PC, probs_NC, logs_N)
        return self._solve(start_PC, there, 1 / np.sqrt(np.maximum(bent_PC, least_P1) + self.ridge_P1))

    def _solve(self, start_PC: Single, there: tuple[float, Single], scale_PC: Single) -> Single:
        """By steps in coordinates in which the loss is curved about alike.

        Parameters
        ----------
        there : loss and gradient at the start.
        scale_PC : or [P, 1].
        """

        def loss_and_gradient(point_PC: Single) -> tuple[float, Single]:
            loss, gradient_PC = self.loss_and_gradient(point_PC * scale_PC)
            gradient_PC *= scale_PC
            return loss, gradient_PC

        def done(gradient_PC: Single) -> bool:  # in the rows' own coordinates, whatever the scaling
            return float(np.abs(gradient_PC / scale_PC).max()) <= TOLERANCE

        first = there[0], there[1] * scale_PC
        return _minimise(loss_and_gradient, start_PC / scale_PC, first, done=done) * scale_PC

    def loss_and_gradient(self, point_PC: Single) -> tuple[float, Single]:
        """Mean loss with the penalty, and its [P, C] gradient."""
        return self._loss_and_gradient(point_PC, *self._softmax(point_PC))

    def _loss_and_gradient(self, point_PC: Single, probs_NC: Single, logs_N: Single) -> tuple[float, Single]:
        """From what `_softmax` gives; the probabilities are written over."""
        loss = -float(np.dot(self.shares_N, logs_N.astype(np.float64)))
        probs_NC *= self.shares_N[:, None]
        probs_NC[self.every, self.labels_N] -= self.shares_N
        gradient_PC: Single = np.asarray(self.turned.design_NP.T @ probs_NC, dtype=np.float32)
        shrunk_PC = self.ridge_P1 * point_PC
        gradient_PC += shrunk_PC
        return loss + 0.5 * float(np.vdot(shrunk_PC, point_PC)), gradient_PC

    def _softmax(self, point_PC: Single) -> tuple[Single, Single]:
        """[N, C] probabilities, and [N] the logarithm of that of each row's label."""
        logits_NC = self.turned.design_NP @ point_PC
        if self.offsets_NC is not None:
            logits_NC += self.offsets_NC
        logits_NC -= logits_NC.max(axis=1, keepdims=True)
        own_N = logits_NC[self.every, self.labels_N]
        np.exp(logits_NC, out=logits_NC)
        sums_N = logits_NC.sum(axis=1)
        logits_NC /= sums_N[:, None]
        return logits_NC, own_N - np.log(sums_N)


def _minimise(
    function: Callable[[Single], tuple[float, Single]],
    point: Single,
    there: tuple[float, Single],
    *,
    done: Callable[[Single], bool],
) -> Single:
    """L-BFGS (Nocedal and Wright, algorithm 7.5) with steps halved until the loss falls enough.

    Parameters
    ----------
    there : loss and gradient at `point`.
    """
    loss, gradient = there
    pairs: deque[tuple[Single, Single, float]] = deque(maxlen=MEMORY)
    for _ in range(MOST_STEPS):
        if done(gradient):
            break
        direction = _direction(gradient, pairs)
        slope = float(np.vdot(gradient, direction))
        length = 1.0
        while True:
            ahead = point + np.float32(length) * direction
            loss_ahead, gradient_ahead = function(ahead)
            # Near the minimum float32 cannot tell losses apart: a difference in its last digits is none.
            if loss_ahead <= loss + 1e-4 * length * slope + 1e-7 * abs(loss):
                break
            length /= 2
            if length < 1e-4:
                return point
        step, change = ahead - point, gradient_ahead - gradient
        bent = float(np.vdot(step, change))
        if bent > 1e-10 * float(np.vdot(change, change)):
            pairs.append((step, change, bent))
        point, loss, gradient = ahead, loss_ahead, gradient_ahead
    return point


def _direction(gradient: Single, pairs: deque[tuple[Single, Single, float]]) -> Single:
    """Downhill by the curvature that past steps met."""
    direction = -gradient
    if not pairs:
        direction *= np.float32(min(1.0, 1 / max(float(np.linalg.norm(direction)), 1e-12)))
        return direction
    shares = []
    for step, change, bent in reversed(pairs):
        share = float(np.vdot(step, direction)) / bent
        direction -= np.float32(share) * change
        shares.append(share)
    _, change, bent = pairs[-1]
    direction *= np.float32(bent / float(np.vdot(change, change)))
    for (step, change, bent), share in zip(pairs, reversed(shares), strict=True):
        direction += np.float32(share - float(np.vdot(change, direction)) / bent) * step
    return direction
