"""What chance does to a measured share, and how many rows it takes to see through it.

The arithmetic that checks (before anything is trained) and metrics (after) both stand on. scipy alone is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
MOST_ROWS = 10_000_000


class Auc(NamedTuple):
    """How often a random positive scores above a random negative, and the variance of that measurement."""

    auc: float
    variance: float


def wilson(share: float, rows: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share measured on `rows` rows, which may be fractional; (0, 1) when there are none."""
    from scipy import stats

    if rows <= 0:
        return 0.0, 1.0
    z = float(stats.norm.ppf(0.5 + level / 2))
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    # At a share of exactly 0 or 1 the bound is that share; rounding must not move it inside.
    low, high = max(0.0, float(centre - half)), min(1.0, float(centre + half))
    return min(low, share), max(high, share)


def half_width(share: float, rows: float, level: float = 0.95) -> float:
    """Half the width of Wilson's interval."""
    low, high = wilson(share, rows, level)
    return (high - low) / 2


def rows_for_half_width(share: float, half: float, *, effect: float = 1.0, level: float = 0.95) -> int:
    """The fewest rows whose interval is ±`half` or narrower; `effect` rows count as one (a design effect)."""
    few, many = 1, 2
    while half_width(share, many / effect, level) > half and many < MOST_ROWS:
        many *= 2
    while few < many:
        middle = (few + many) // 2
        if half_width(share, middle / effect, level) <= half:
            many = middle
        else:
            few = middle + 1
    return few


def cross_validation_effect(folds: int, repeats: int) -> float:
    """By how much Nadeau and Bengio (2003) widen the variance of a cross-validated score: 1.75 for 5 folds, twice."""
    return 1 / repeats + folds / (folds - 1)


def smallest_gain(
    rows: float, differing: float, *, effect: float, freedom: int, power: float = 0.8, level: float = 0.95
) -> float:
    """The smallest gain a paired t-test of two candidates sees with `power` (`metrics/paired.py`).

    Parameters
    ----------
    differing : share of rows that one candidate has right and the other wrong.
    effect : see `cross_validation_effect`.
    freedom : degrees of freedom, splits − 1.
    """
    reach2 = _reach(freedom, power, level) ** 2 * effect / max(rows, 1e-9)
    # gain² = reach² · (differing − gain²): the variance of the paired difference is the share less the gain squared.
    return float(min(1.0, np.sqrt(reach2 * differing / (1 + reach2))))


def rows_for_gain(
    gain: float, differing: float, *, effect: float, freedom: int, power: float = 0.8, level: float = 0.95
) -> int:
    """Rows from which `gain` is seen with `power`; a gain cannot be larger than what differs."""
    variance = max(differing - gain**2, 0.0)
    return int(np.ceil(_reach(freedom, power, level) ** 2 * effect * variance / gain**2))


def power_to_see(
    gain: float, rows: float, differing: float, *, effect: float, freedom: int, level: float = 0.95
) -> float:
    """How often a paired t-test finds a gain that is there."""
    from scipy import stats

    error = np.sqrt(max(differing - gain**2, 1e-9) * effect / max(rows, 1e-9))
    return float(stats.t.sf(stats.t.ppf(0.5 + level / 2, freedom) - gain / error, freedom))


def area_under_curve(positive_P: FloatArray, negative_Q: FloatArray) -> Auc:
    """The area under the ROC curve and its variance (DeLong, DeLong & Clarke-Pearson 1988); two scores a side or more.

    Sun and Xu (2014) show how ranks give it without comparing all pairs.
    """
    from scipy import stats

    positives, negatives = len(positive_P), len(negative_Q)
    rank_A = stats.rankdata(np.concatenate([positive_P, negative_Q]))
    below_P = (rank_A[:positives] - stats.rankdata(positive_P)) / negatives
    above_Q = 1 - (rank_A[positives:] - stats.rankdata(negative_Q)) / positives
    variance = below_P.var(ddof=1) / positives + above_Q.var(ddof=1) / negatives
    return Auc(float(below_P.mean()), float(variance))


def _reach(freedom: int, power: float, level: float) -> float:
    """Standard errors between nothing and what is seen with `power`."""
    from scipy import stats

    return float(stats.t.ppf(0.5 + level / 2, freedom) + stats.t.ppf(power, freedom))
