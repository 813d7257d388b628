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
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Turned:
    """Rows in their principal directions."""

    rows_ND: NDArray[np.floating]
    """As given, to be recognised by."""
    turned_NR: Single
    mean_D: FloatArray
    directions_DR: FloatArray
    curvature_R: FloatArray
    """Mean square of the rows in each direction."""

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


def fit_logistic(turned: Turned, labels_N: IntArray, weights_N: FloatArray, *, penalty: float) -> FloatArray:
    """[P, C] minimum of Σ weight · cross-entropy + penalty / 2 · ‖weights‖², labels being 0 … C - 1."""
    classes, total = int(labels_N.max()) + 1, float(weights_N.sum())
    ridge = penalty / total
    shares_N = (weights_N / total).astype(np.float32)
    # How curved the loss is in a direction, beside the penalty: p(1 - p), a quarter at most; with many classes most
    # rows have next to nothing to say about any one of them.
    bend = min(0.25, 4 / classes**2)
    scale_P1 = np.append(1 / np.sqrt(bend * turned.curvature_R + ridge), 1 / np.sqrt(bend)).astype(np.float32)[:, None]
    ones_N1 = np.ones((len(labels_N), 1), dtype=np.float32)
    design_NP: Single = (np.append(turned.turned_NR, ones_N1, axis=1) * scale_P1[:, 0]).astype(np.float32, copy=False)
    ridge_P1 = (ridge * scale_P1**2).astype(np.float32)
    ridge_P1[-1] = 0
    every = np.arange(len(labels_N))

    def loss_and_gradient(point_PC: Single) -> tuple[float, Single]:
        logits_NC = design_NP @ point_PC
        logits_NC -= logits_NC.max(axis=1, keepdims=True)
        own_N = logits_NC[every, labels_N]
        np.exp(logits_NC, out=logits_NC)
        sums_N = logits_NC.sum(axis=1)
        loss = float(np.dot(shares_N, (np.log(sums_N) - own_N).astype(np.float64)))
        logits_NC *= (shares_N / sums_N)[:, None]
        logits_NC[every, labels_N] -= shares_N
        gradient_PC: Single = np.asarray(design_NP.T @ logits_NC, dtype=np.float32)
        shrunk_PC = ridge_P1 * point_PC
        gradient_PC += shrunk_PC
        return loss + 0.5 * float(np.vdot(shrunk_PC, point_PC)), gradient_PC

    start_PC = np.zeros((len(scale_P1), classes), dtype=np.float32)
    # The rule for stopping is in the rows' own coordinates, whatever the scaling.
    found_PC = _minimise(loss_and_gradient, start_PC, done=lambda g: float(np.abs(g / scale_P1).max()) <= TOLERANCE)
    return (found_PC * scale_P1).astype(np.float64)


def _minimise(
    function: Callable[[Single], tuple[float, Single]], point: Single, *, done: Callable[[Single], bool]
) -> Single:
    """L-BFGS (Nocedal and Wright, algorithm 7.5) with steps halved until the loss falls enough."""
    loss, gradient = function(point)
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
