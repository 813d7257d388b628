"""A user's own score: a Python function, given as `name=path.py:function` or as a callable.

The function is called as `function(outputs, references)` with a list of N texts and a list of N lists of texts, and by
keyword with `prompts` where it has a parameter of that name. It returns

- N numbers, one a row: the score is their mean, and intervals and tests resample them. Where all are 0 or 1 they count
  as right and wrong; or
- one number for all rows: a draw then calls the function anew, so there are fewer draws.

Attributes on the function say more: `higher_is_better = False` for an error, `bounds = (0, 1)` for its range.
"""

from __future__ import annotations

import importlib.util
import inspect
import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fewtune.errors import UsageError
from fewtune.metrics.answers import Answers
from fewtune.metrics.base import FloatArray, IntArray
from fewtune.metrics.corpus import CorpusScore, RowStatistics, mean_of, ratio

OWN_DRAWS = 200
"""Bootstrap draws for a function of all rows at once."""
FORM = "Write it as name=path.py:function."


@dataclass(frozen=True)
class OwnScore:
    """A function with a name."""

    name: str
    function: Callable[..., Any]
    where: str = ""
    """Its file, for messages."""

    @property
    def higher_is_better(self) -> bool:
        """As the function says; True when it does not."""
        return bool(getattr(self.function, "higher_is_better", True))

    @property
    def bounds(self) -> tuple[float, float]:
        """As the function says; none when it does not."""
        low, high = getattr(self.function, "bounds", (-np.inf, np.inf))
        return float(low), float(high)

    def score(self, answers: Answers) -> CorpusScore:
        """Call the function on all rows and see what kind it is.

        Raises
        ------
        UsageError
            Where it fails, or returns neither one number nor one a row.
        """
        found = self.called(answers.outputs, answers.references, answers.prompts)
        if isinstance(found, float):
            return CorpusFunction(self, answers, found)
        if np.isin(found, (0.0, 1.0)).all() and not hasattr(self.function, "bounds"):
            return mean_of(self.name, found, higher_is_better=self.higher_is_better, signature=self.where)
        stats_NF = np.stack([found, np.ones_like(found)], axis=1)
        bounded = all(map(math.isfinite, self.bounds))
        return RowStatistics(
            self.name,
            stats_NF,
            ratio,
            higher_is_better=self.higher_is_better,
            bounds=self.bounds,
            extremes=self._extremes if bounded else None,
            signature=self.where,
        )

    def called(
        self, outputs: Sequence[str], references: Sequence[Sequence[str]], prompts: Sequence[str] | None
    ) -> float | FloatArray:
        """What the function returns, checked: one number or [N] of them."""
        named: dict[str, Any] = {"prompts": list(prompts or ())} if _takes_prompts(self.function) else {}
        try:
            found = self.function(list(outputs), [list(given) for given in references], **named)
        except Exception as error:
            line = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(line.filename).name}, line {line.lineno}"
            raise UsageError(
                f"The score {self.name!r} failed: {type(error).__name__}: {error} ({place}). "
                "It is called with a list of texts and a list of lists of references."
            ) from error
        return self._checked(found, len(outputs))

    def _checked(self, found: Any, rows: int) -> float | FloatArray:
        try:
            values = np.asarray(found, dtype=np.float64)
        except (TypeError, ValueError):
            kind = f"{type(found).__name__} {found!r:.60}"
            raise UsageError(f"The score {self.name!r} returned {kind}. {self._wanted(rows)}") from None
        if isinstance(found, str) or values.ndim > 1 or (values.ndim == 1 and len(values) != rows):
            shape = "a text" if isinstance(found, str) else f"{values.size} numbers for {rows} rows"
            raise UsageError(f"The score {self.name!r} returned {shape}. {self._wanted(rows)}")
        if not np.isfinite(values).all():
            row = "" if values.ndim == 0 else f" for row {int(np.flatnonzero(~np.isfinite(values))[0]) + 1}"
            raise UsageError(f"The score {self.name!r} returned no finite number{row}. {self._wanted(rows)}")
        low, high = self.bounds
        if values.min() < low or values.max() > high:
            raise UsageError(
                f"The score {self.name!r} returned {values.min():g} to {values.max():g}, outside its `bounds` "
                f"({low:g}, {high:g}). Change one or the other."
            )
        return float(values) if values.ndim == 0 else values

    def _wanted(self, rows: int) -> str:
        return f"Return one number, or a list of {rows}, one a row."

    def _extremes(self, mean_F: FloatArray) -> tuple[FloatArray, FloatArray]:
        low_F, high_F = mean_F.copy(), mean_F.copy()
        low_F[0], high_F[0] = mean_F[-1] * self.bounds[0], mean_F[-1] * self.bounds[1]
        return low_F, high_F


@dataclass(frozen=True)
class CorpusFunction:
    """A user's function of all rows at once: nothing to sum, so each draw calls it."""

    own: OwnScore
    answers: Answers
    found: float

    @property
    def name(self) -> str:
        """As the user calls it."""
        return self.own.name

    @property
    def rows(self) -> int:
        """N."""
        return self.answers.rows

    @property
    def higher_is_better(self) -> bool:
        """As the function says."""
        return self.own.higher_is_better

    @property
    def bounds(self) -> tuple[float, float]:
        """As the function says."""
        return self.own.bounds

    def value(self) -> float:
        """The score of all rows."""
        return self.found

    def of_draws(self, times_DK: FloatArray, cluster_N: IntArray) -> FloatArray:
        """[D] the function on each draw's rows."""
        every = np.arange(self.rows)
        return np.array([self._on(np.repeat(every, times_K[cluster_N].astype(int))) for times_K in times_DK])

    def of_swaps(self, other: CorpusScore, swap_DK: FloatArray, cluster_N: IntArray) -> tuple[FloatArray, FloatArray]:
        """[D] and [D]: both systems' scores after they exchanged the rows of each cluster marked 1."""
        assert isinstance(other, CorpusFunction), f"{self.name} of two kinds"
        pairs = [self._exchanged(other, swap_K[cluster_N] > 0) for swap_K in swap_DK]
        mine_D, theirs_D = zip(*pairs, strict=True)
        return np.array(mine_D), np.array(theirs_D)

    def _exchanged(self, other: CorpusFunction, swapped_N: Any) -> tuple[float, float]:
        pairs = list(zip(self.answers.outputs, other.answers.outputs, strict=True))
        mine = [b if swap else a for (a, b), swap in zip(pairs, swapped_N, strict=True)]
        theirs = [a if swap else b for (a, b), swap in zip(pairs, swapped_N, strict=True)]
        return self._of(mine), other._of(theirs)

    def _of(self, outputs: Sequence[str]) -> float:
        found = self.own.called(outputs, self.answers.references, self.answers.prompts)
        return float(found) if isinstance(found, float) else float(found.mean())

    def _on(self, rows: IntArray) -> float:
        answers = self.answers
        prompts = None if answers.prompts is None else [answers.prompts[row] for row in rows]
        found = self.own.called(
            [answers.outputs[row] for row in rows], [answers.references[row] for row in rows], prompts
        )
        return float(found) if isinstance(found, float) else float(found.mean())


def own_score(given: str | Callable[..., Any] | OwnScore) -> OwnScore:
    """From `name=path.py:function`, or from a function, which is called by its name.

    Raises
    ------
    UsageError
        Where the form is another, the file cannot be run, or has no such function.
    """
    if isinstance(given, OwnScore):
        return given
    if callable(given):
        return OwnScore(getattr(given, "__name__", type(given).__name__), given)
    name, equals, place = str(given).partition("=")
    path, colon, wanted = place.rpartition(":")
    if not (equals and colon and name.strip() and path and wanted.strip()):
        raise UsageError(f"{given!r} names no score of your own. {FORM}")
    function = getattr(_module(Path(path)), wanted.strip(), None)
    if not callable(function):
        raise UsageError(f"{path} has no function {wanted.strip()!r}. {FORM}")
    return OwnScore(name.strip(), function, f"{Path(path).name}:{wanted.strip()}")


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"{path} is no file. {FORM}")
    spec = importlib.util.spec_from_file_location(f"fewtune_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file. {FORM}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    return module


def _takes_prompts(function: Callable[..., Any]) -> bool:
    try:
        return "prompts" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


__all__ = ["OWN_DRAWS", "CorpusFunction", "OwnScore", "own_score"]
