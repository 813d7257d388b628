"""The overfitting watch: where training and validation loss part ways, in a sentence."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from fewtune.methods.base import TrainingLog

RISE = 0.1
"""Validation loss this share above its lowest, while training loss still falls, is an open gap."""


def overfitting(log: TrainingLog) -> dict[str, Any] | None:
    """The gap at the end, the step it opened at, and what that means; None where nothing was measured."""
    if len(log.validation_steps) < 2:
        return None
    train = _smoothed(log)
    validation = np.asarray(log.validation_loss)
    gap = float(validation[-1] - train[-1])
    best = int(validation.argmin())
    risen = [n for n in range(best + 1, len(validation)) if validation[n] > (1 + RISE) * validation[best]]
    opens = log.validation_steps[risen[0]] if risen and train[-1] < train[best] else None
    return {"gap": gap, "opens_at_step": opens, "sentence": _sentence(log, opens, gap)}


def _smoothed(log: TrainingLog) -> np.ndarray:
    """Training loss averaged over the steps between two validations."""
    edges = [0, *log.validation_steps]
    losses = np.asarray(log.train_loss)
    return np.asarray([losses[a:b].mean() for a, b in itertools.pairwise(edges)])


def _sentence(log: TrainingLog, opens: int | None, gap: float) -> str:
    rows = "rows set aside" if log.validation_on == "own" else "held-out rows (watched only)"
    if opens is None:
        return f"No sign of overfitting: the loss on {rows} did not turn while training went on (gap {gap:.2f})."
    kept = f"; the weights of step {log.best_step} were kept" if log.best_step is not None else ""
    return f"Overfitting from step {opens}: the loss on {rows} rose while the training loss kept falling{kept}."
