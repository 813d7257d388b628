"""A score of many texts as a function of the sum of what each row adds.

BLEU is not the mean of its rows: n-grams are counted over all of them and divided once. So each row is kept as a few
numbers (its *statistics*), and a score is `combine(sum over rows)`. A bootstrap draw then only changes how often a row
is summed, and two thousand draws of a thousand rows are one product of matrices.

Legend beyond that of `base`: F statistics of a row. `combine` maps [..., F] to [...].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from fewtune.metrics.base import FloatArray, IntArray

Combine = Callable[[FloatArray], FloatArray]
Extremes = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


class CorpusScore(Protocol):
    """What intervals and paired tests ask of a score. `RowStatistics` is the fast one."""

    @property
    def name(self) -> str:
        """As in `result.json`."""

    @property
    def rows(self) -> int:
        """N."""

    @property
    def higher_is_better(self) -> bool:
        """False for a loss or a rate of errors."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value there can be."""

    def value(self) -> float:
        """The score of all rows."""

    def of_draws(self, times_DK: FloatArray, cluster_N: IntArray) -> FloatArray:
        """[D] scores where cluster k counts `times_DK[d, k]` times; NaN where nothing is left to score."""

    def of_swaps(self, other: CorpusScore, swap_DK: FloatArray, cluster_N: IntArray) -> tuple[FloatArray, FloatArray]:
        """[D] and [D]: this score and the other's, after they exchanged the rows of each cluster marked 1."""


@dataclass(frozen=True)
class RowStatistics:
    """A score and what each row adds to it."""

    name: str
    stats_NF: FloatArray
    combine: Combine
    """[..., F] sums over rows → [...] scores."""
    higher_is_better: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)
    extremes: Extremes | None = None
    """[F] a mean row → [F] the same row at the lowest score it could have had, [F] at the highest; None where there is
    no lowest or highest, as for a loss."""
    signature: str = ""
    """How it was counted, as the library that defines it writes it."""
    parts: dict[str, int] = field(default_factory=dict)
    """Names of single statistics worth showing, and their places in F."""

    def __post_init__(self) -> None:
        assert self.stats_NF.ndim == 2, f"statistics must be [N, F], not {self.stats_NF.shape}"
        assert len(self.stats_NF) > 0, "no row to score"

    @property
    def rows(self) -> int:
        """N."""
        return len(self.stats_NF)

    @property
    def is_rate(self) -> bool:
        """Whether this is the plain mean of zeros and ones, for which there is an interval without resampling."""
        over_N, under_N = self.stats_NF[:, 0], self.stats_NF[:, -1]
        plain = self.combine is ratio and self.extremes is unit_extremes and bool(np.all(under_N == 1))
        return plain and bool(np.all((over_N == 0) | (over_N == 1)))

    def value(self) -> float:
        """The score of all rows."""
        return float(self.combine(self.stats_NF.sum(axis=0)))

    def values_N(self) -> FloatArray:
        """[N] the score of each row alone, to find the worst ones; their mean is not the score of all."""
        return self.combine(self.stats_NF)

    def sums(self) -> dict[str, float]:
        """The statistics named in `parts`, summed over rows."""
        return {name: float(self.stats_NF[:, place].sum()) for name, place in self.parts.items()}

    def by_cluster(self, cluster_N: IntArray) -> FloatArray:
        """[K, F] sums over the rows of each cluster."""
        clusters = int(cluster_N.max()) + 1
        columns = [np.bincount(cluster_N, weights=column_N, minlength=clusters) for column_N in self.stats_NF.T]
        return np.stack(columns, axis=1).astype(np.float64)

    def of_draws(self, times_DK: FloatArray, cluster_N: IntArray) -> FloatArray:
        """[D] scores where cluster k counts `times_DK[d, k]` times."""
        return self.combine(times_DK @ self.by_cluster(cluster_N))

    def of_swaps(self, other: CorpusScore, swap_DK: FloatArray, cluster_N: IntArray) -> tuple[FloatArray, FloatArray]:
        """[D] and [D]: this score and the other's, after they exchanged the rows of each cluster marked 1."""
        assert isinstance(other, RowStatistics), f"{self.name} of two kinds"
        mine_KF, theirs_KF = self.by_cluster(cluster_N), other.by_cluster(cluster_N)
        moved_DF = swap_DK @ (theirs_KF - mine_KF)
        return self.combine(mine_KF.sum(axis=0) + moved_DF), self.combine(theirs_KF.sum(axis=0) - moved_DF)


def ratio(sums_F: FloatArray) -> FloatArray:
    """The first statistic over the last; NaN where the last is 0."""
    over, under = sums_F[..., 0], sums_F[..., -1]
    found: FloatArray = np.divide(over, under, out=np.full(np.shape(over), np.nan), where=under > 0)
    return found


def mean_of(name: str, values_N: ArrayLike, *, signature: str = "", higher_is_better: bool = True) -> RowStatistics:
    """The mean of a row score that runs from 0 to 1."""
    values = np.asarray(values_N, dtype=np.float64)
    return RowStatistics(
        name,
        np.stack([values, np.ones_like(values)], axis=1),
        ratio,
        higher_is_better=higher_is_better,
        extremes=unit_extremes,
        signature=signature,
    )


def unit_extremes(mean_F: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A row that got nothing and a row that got everything, for a ratio in [0, 1]."""
    low_F, high_F = mean_F.copy(), mean_F.copy()
    low_F[0], high_F[0] = 0.0, mean_F[-1]
    return low_F, high_F


__all__ = ["CorpusScore", "RowStatistics", "mean_of", "ratio", "unit_extremes"]
