"""What `TextClassifier` and `TextGenerator` share: arguments of a constructor as settings, and what a fit leaves.

Constructors stand in each in full: scikit-learn reads the parameters of an estimator from there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from fewtune.errors import UsageError

if TYPE_CHECKING:
    from fewtune.fitting import Fit


class Estimator(BaseEstimator):  # type: ignore[misc]
    """A study behind scikit-learn's interface; a subclass stores what it is told in attributes of these names."""

    backbone: str | Path | Sequence[str | Path]
    methods: Sequence[str] | None
    budget: str | float | None
    folds: int | None
    repeats: int | None
    splits: Any
    executor: str
    random_state: int
    out: str | Path | None

    def _settings(self) -> dict[str, Any]:
        """These, by the names of `Settings`; the clock of the budget starts."""
        return {
            "backbones": backbones_of(self.backbone),
            "methods": methods_of(self.methods),
            "budget": self.budget,
            "folds": self.folds,
            "repeats": self.repeats,
            "splits": self.splits,
            "executor": self.executor,
            "seed": seed_of(self.random_state),
            "out": None if self.out is None else Path(self.out),
            "started": time.perf_counter(),
        }

    def _learnt(self, found: Fit) -> None:
        self.fit_: Fit = found
        self.result_: dict[str, Any] = found.result
        self.ladder_: list[dict[str, Any]] = found.result["ladder"]

    def __getstate__(self) -> dict[str, Any]:
        """For a pickle: of `fit_` nothing is kept, as it holds an open backbone and all the rows."""
        state = dict(super().__getstate__())
        state.pop("fit_", None)
        return state


def backbones_of(given: Any) -> tuple[str, ...]:
    """Names of backbones, of one or several. Raises UsageError for none."""
    names = [given] if isinstance(given, str | Path) else list(given)
    if not names:
        raise UsageError("backbone is an empty list. Name at least one, or leave it out for the default.")
    return tuple(str(name) for name in names)


def methods_of(given: Any) -> tuple[str, ...] | None:
    """Names of methods; None for all."""
    if given is None:
        return None
    return (given,) if isinstance(given, str) else tuple(given)


def seed_of(given: Any) -> int:
    """A seed. Raises UsageError for anything but a whole number or None."""
    if given is None:
        return 0
    if not isinstance(given, int | np.integer):
        raise UsageError(f"random_state must be an integer, not {given!r}: a study's seed is written into its result.")
    return int(given)


__all__ = ["Estimator", "backbones_of", "methods_of", "seed_of"]
