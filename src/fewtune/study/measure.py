"""What the candidates of a search are compared by, and how a person is told: accuracy, or bits per byte.

Inside a search higher is better; what is shown runs the way people know it, so bits per byte are fewer where better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewtune.metrics.base import OutOfFold, row_means
from fewtune.metrics.intervals import Interval, accuracy_interval, design_effect
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.resampling import Resampling, corpus_interval

DRAWS = 1000
"""Of the bootstrap behind an interval of bits per byte."""


@dataclass(frozen=True)
class Measure:
    """A measure by name, as JSON and tables have it."""

    name: str
    title: str
    """The head of its column."""
    unit: str
    """Of a difference, in a sentence."""
    short: str
    """Of a difference, as the head of a column."""
    scale: float
    """From a score to what is shown; negative where less is better."""
    digits: int

    def shown(self, score: float) -> float:
        """A score as it is kept in results: bits per byte are positive there."""
        return score if self.scale > 0 else -score

    def interval(self, found: Interval) -> Interval:
        """An interval of scores as it is kept in results."""
        if self.scale > 0:
            return found
        return Interval(-found.mean, -found.high, -found.low, found.level, found.method)

    def say(self, value: float) -> str:
        """A value of results, in a sentence."""
        said = self.number(value)
        return f"{said} %" if self.scale > 0 else f"{said} bits per byte"

    def number(self, value: float) -> str:
        """A value of results, without its unit."""
        return f"{abs(self.scale) * value:.{self.digits}f}"

    def gain(self, difference: float) -> str:
        """A difference, in a sentence."""
        return f"{abs(self.scale) * difference:.{self.digits}f} {self.unit}"


ACCURACY = Measure("accuracy", "Accuracy", "points", "Points", 100.0, 1)
BITS = Measure("bits_per_byte", "Bits/byte", "bits per byte", "Bits fewer", -1.0, 3)
MEASURES = {measure.name: measure for measure in (ACCURACY, BITS)}


def measure_of(*, writes: bool) -> Measure:
    """What a study's candidates are compared by."""
    return BITS if writes else ACCURACY


def measured(oof: OutOfFold, seed: int = 0) -> Interval:
    """The value of one candidate with its interval: accuracy, or bits per byte averaged over repeats."""
    rows = len(oof.labels_N)
    if oof.written is None:
        return accuracy_interval(oof.correct, oof.held_out, rows=rows, groups=oof.groups)
    kept = oof.tested_N
    nll_N, tokens_N, bytes_N = (
        row_means([np.asarray(getattr(one, name), dtype=np.float64) for one in oof.written], oof.held_out, rows)[kept]
        for name in ("nll", "tokens", "bytes")
    )
    groups = None if oof.groups is None else [oof.groups[row] for row in kept]
    stretch = float(np.sqrt(design_effect(oof.held_out, rows)))  # its models share training rows
    plan = Resampling.of(len(kept), groups, draws=DRAWS, seed=seed, stretch=stretch)
    return corpus_interval(Likelihoods.of(nll_N, tokens_N, bytes_N=bytes_N).bits_per_byte(), plan)


__all__ = ["ACCURACY", "BITS", "MEASURES", "Measure", "measure_of", "measured"]
