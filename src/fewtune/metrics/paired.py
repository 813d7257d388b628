"""Whether A beats B, told from the same resamples.

The corrected resampled t-test (Nadeau and Bengio 2003; as "corrected repeated k-fold CV test" Bouckaert and Frank
2004): the mean of the J per-split differences over √((1/J + n_test/n_train)·s²), on J − 1 degrees of freedom. On few
rows s² can be small by luck, so for row scores two more things must hold before a difference is believed:

- the variance is never taken below that of drawing rows (clusters, where rows are grouped), which no resampling of the
  same rows can remove;
- an exact sign test over the rows on which A and B differ, one vote a row after averaging its repeats (McNemar's test
  for 0/1 scores), must agree while there are at most 25 of them. Where it is the less certain of the two, its p is
  reported and the interval widened to match.

So p < 0.05, an interval without 0, and a verdict other than "cannot be told apart" always come together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from fewtune.metrics.base import FloatArray, IntArray, cluster_index, row_means
from fewtune.metrics.intervals import Groups, cluster_variance, correction, design_effect

Verdict = Literal["better", "worse", "cannot be told apart"]

EXACT_UP_TO = 25
"""Differing rows up to which the sign test must agree; beyond, the t-test's normal approximation holds."""
SMALLEST_DIFFERENCE = 0.005
"""A difference smaller than this asks for no rows of its own: `rows_needed` is for `WORTH_KNOWING` instead."""
WORTH_KNOWING = 0.03
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Comparison:
    """A against B: `difference` is how much better A is, whichever way the score runs."""

    difference: float
    low: float
    high: float
    p: float
    verdict: Verdict
    """Of A: 'better', 'worse' or 'cannot be told apart'."""
    rows_needed: int | None
    """Labelled rows in all it would take to tell a difference of `rows_needed_for` (power 80 %, two-sided at the
    level); None once a verdict is reached. As uncertain as the difference itself: an order of magnitude."""
    rows_needed_for: float
    """The size of the difference seen, or 0.03 when less than 0.005 was seen."""
    minimum_detectable_difference: float
    """The smallest difference that this many rows tell four times out of five."""
    level: float = 0.95
    method: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare(
    scores_a: Sequence[FloatArray],
    scores_b: Sequence[FloatArray],
    held_out: Sequence[IntArray],
    *,
    rows: int | None = None,
    groups: Groups = None,
    higher_is_better: bool = True,
    level: float = 0.95,
) -> Comparison:
    """Compare two candidates by row scores (1 where right, or a loss) on the same splits.

    Parameters
    ----------
    scores_a, scores_b : J arrays [B], one score a held-out row.
    held_out : J arrays [B], the rows each split held out, the same for both.
    rows : N, the number of rows in all; one more than the largest index when not given.
    groups : [N] rows with the same group count as one observation.
    higher_is_better : False for a loss; the difference is then B − A.
    level : confidence of the interval; the verdict is two-sided at 1 − level.

    With one split (a test set) the two fitted models are compared, not their ways of training.
    """
    rows = rows or int(max(rows_B.max() for rows_B in held_out)) + 1
    sign = 1.0 if higher_is_better else -1.0
    differences = [sign * (a - b) for a, b in zip(scores_a, scores_b, strict=True)]
    cluster_N = cluster_index(groups, rows)
    difference_N = row_means(differences, held_out, rows)
    variance, freedom = _variance(differences, difference_N, held_out, cluster_N)
    splits = len(differences)
    method = f"corrected resampled t-test over {splits} splits" if splits > 1 else "paired t-test over rows"
    mean = float(np.concatenate(differences).mean())
    wins, losses = votes(difference_N, cluster_N)
    exact = 0.0
    if wins + losses <= EXACT_UP_TO or variance == 0:
        exact = float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
        method += f", exact sign test over {wins + losses} differing rows"
    shares = _are_shares(scores_a, scores_b)
    clusters = len(np.unique(cluster_N))
    evidence = Evidence(mean, variance, freedom, rows, clusters, exact, method, step=1.0 if shares else 0.0)
    return conclude(evidence, level, bound=1.0 if shares else np.inf)


def paired_error(
    scores_a: Sequence[FloatArray],
    scores_b: Sequence[FloatArray],
    held_out: Sequence[IntArray],
    *,
    rows: int,
    groups: Groups = None,
) -> tuple[float, float]:
    """A's mean advantage over B in row scores, and the corrected standard error that `compare` judges it by.

    Parameters
    ----------
    scores_a, scores_b, held_out, groups : as `compare` has them; the splits may be the first few of a longer list.
    rows : N, the number of rows in all, seen in these splits or not.
    """
    differences, difference_N, cluster_N = _differences(scores_a, scores_b, held_out, rows, groups)
    variance, _ = _variance(differences, difference_N, held_out, cluster_N)
    seen = len(np.unique(cluster_N[np.isfinite(difference_N)]))
    least = _least_variance(seen) if _are_shares(scores_a, scores_b) else 0.0
    return float(np.concatenate(differences).mean()), float(np.sqrt(max(variance, least)))


def stretched_error(
    scores_a: Sequence[FloatArray],
    scores_b: Sequence[FloatArray],
    held_out: Sequence[IntArray],
    *,
    rows: int,
    groups: Groups = None,
) -> tuple[float, float]:
    """As `paired_error`, from the spread of the rows in place of that of the splits, stretched by what splits share.

    Where splits are few (three folds) the variance of their means is itself a matter of luck; rows there are enough of.
    """
    differences, difference_N, cluster_N = _differences(scores_a, scores_b, held_out, rows, groups)
    drawn = cluster_variance(difference_N, cluster_N)
    return float(np.concatenate(differences).mean()), float(np.sqrt(design_effect(held_out, rows) * drawn))


def _differences(
    scores_a: Sequence[FloatArray],
    scores_b: Sequence[FloatArray],
    held_out: Sequence[IntArray],
    rows: int,
    groups: Groups,
) -> tuple[list[FloatArray], FloatArray, IntArray]:
    """By split, by row and the cluster of each row."""
    found = [a - b for a, b in zip(scores_a, scores_b, strict=True)]
    return found, row_means(found, held_out, rows), cluster_index(groups, rows)


def compare_scores(
    scores_a_J: ArrayLike,
    scores_b_J: ArrayLike,
    held_out: Sequence[IntArray],
    *,
    rows: int | None = None,
    higher_is_better: bool = True,
    level: float = 0.95,
) -> Comparison:
    """Compare two candidates by one score a split (macro F1, …); where row scores exist, `compare` is the safer test.

    Identical differences in all splits carry no measure of spread and are decided by an exact sign test over the
    folds of one repeat, as other repeats hold the same rows.
    """
    rows = rows or int(max(rows_B.max() for rows_B in held_out)) + 1
    sign = 1.0 if higher_is_better else -1.0
    difference_J = sign * (np.asarray(scores_a_J, dtype=np.float64) - np.asarray(scores_b_J, dtype=np.float64))
    assert difference_J.shape == (len(held_out),), "one score a split"
    assert len(held_out) > 1, "one split has no spread: use compare()"
    independent = max(1, round(rows / float(np.mean([len(rows_B) for rows_B in held_out]))))
    variance = correction(held_out, rows) * float(difference_J.var(ddof=1))
    mean = float(difference_J.mean())
    flat = variance <= 1e-24
    exact = float(stats.binomtest(independent, independent).pvalue) if flat and abs(mean) > 1e-12 else float(mean == 0)
    method = f"corrected resampled t-test over {len(held_out)} split scores"
    evidence = Evidence(mean, 0.0 if flat else variance, len(held_out) - 1, rows, rows, exact, method)
    return conclude(evidence, level)


def constant_scores(labels_N: ArrayLike, held_out: Sequence[IntArray]) -> tuple[FloatArray, ...]:
    """J arrays [B]: what always answering the commonest class of *all* rows scores; "knows nothing" to compare against.

    A majority class refitted in each fold is no fair baseline: with balanced classes the commonest class of the
    training rows is the rarest of the held-out ones, so it scores below chance, and on shuffled labels a classifier
    "beats" it in 10 % of trials where 2.5 % are promised (n = 16 to 100, 5 × 2 splits).
    """
    labels = np.asarray(labels_N, dtype=np.int64)
    right_N = (labels == np.bincount(labels).argmax()).astype(np.float64)
    return tuple(right_N[rows_B] for rows_B in held_out)


def votes(difference_N: FloatArray, cluster_N: IntArray) -> tuple[int, int]:
    """How many clusters A and B are each better on, after averaging a cluster's rows and repeats."""
    seen_N = np.isfinite(difference_N)
    total_K = np.bincount(cluster_N[seen_N], weights=difference_N[seen_N])
    return int((total_K > 1e-12).sum()), int((total_K < -1e-12).sum())


def _are_shares(*candidates: Sequence[FloatArray]) -> bool:
    """Whether scores are right or wrong, or shares of a whole; else they are losses, of no known size."""
    return all(scores.min() >= 0 and scores.max() <= 1 for candidate in candidates for scores in candidate)


def _variance(
    differences: Sequence[FloatArray], difference_N: FloatArray, held_out: Sequence[IntArray], cluster_N: IntArray
) -> tuple[float, int]:
    """Of the mean difference, and its degrees of freedom: corrected for resampling, never below that of the rows."""
    drawn, freedom = cluster_variance(difference_N, cluster_N), len(np.unique(cluster_N)) - 1
    if len(differences) < 2:
        return drawn, freedom
    corrected = correction(held_out, len(cluster_N)) * float(np.var([d.mean() for d in differences], ddof=1))
    return max(corrected, drawn), len(differences) - 1


def _least_variance(clusters: int) -> float:
    """Two candidates that agree on every row seen may differ on the next: as if two rows more had differed
    (plus-four).
    """
    return 2 / (clusters + 4) / clusters


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a test saw, before it is said."""

    mean: float
    variance: float
    freedom: int
    rows: int
    clusters: int
    exact: float
    """p of the exact test; 0 when it has no say."""
    method: str
    unit: float = 1.0
    """What counts as one whole of the score: 1 for a share, 100 for BLEU."""
    step: float = 1.0
    """By how much two candidates differ on a row when they do: a whole for right and wrong. The floor under the
    variance stands on it; 0 for a loss, which has none."""


def conclude(evidence: Evidence, level: float, bound: float = np.inf) -> Comparison:
    """Join the t-test with the exact p: the standard error grows until both say the same."""
    mean, freedom, rows = evidence.mean, max(1, evidence.freedom), evidence.rows
    quantile = float(stats.t.ppf(0.5 + level / 2, freedom))
    least = evidence.step**2 * _least_variance(evidence.clusters)
    error = float(np.sqrt(max(evidence.variance, least, 1e-24)))
    p = 2 * float(stats.t.sf(abs(mean) / error, freedom))
    if evidence.exact > p:
        p = evidence.exact
        at_p = float(stats.t.isf(p / 2, freedom))
        # At p = 1 any error will do that leaves 0 well inside.
        error = max(error, abs(mean) / max(at_p, 1 / quantile))
    reach = quantile + float(stats.t.ppf(POWER, freedom))
    seen = abs(mean) if abs(mean) >= SMALLEST_DIFFERENCE * evidence.unit else WORTH_KNOWING * evidence.unit
    told = p < 1 - level
    return Comparison(
        difference=mean,
        low=max(-bound, mean - quantile * error),
        high=min(bound, mean + quantile * error),
        p=p,
        verdict="cannot be told apart" if not told else "better" if mean > 0 else "worse",
        rows_needed=None if told else max(rows + 1, int(np.ceil(rows * (reach * error / seen) ** 2))),
        rows_needed_for=seen,
        minimum_detectable_difference=reach * error,
        level=level,
        method=evidence.method,
    )


__all__ = [
    "Comparison",
    "Evidence",
    "Verdict",
    "compare",
    "compare_scores",
    "conclude",
    "constant_scores",
    "paired_error",
]
