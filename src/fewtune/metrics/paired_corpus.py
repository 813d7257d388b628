"""Whether one system writes better than another, told from the same rows.

Two tests of one difference in a corpus score:

- **Paired bootstrap** (Koehn 2004): rows are drawn with replacement, both systems are scored on the draw, and the
  spread of the difference over draws is its error. It gives the interval.
- **Approximate randomisation** (Riezler and Maxwell 2005): if the two systems were the same, their outputs for a row
  could change places. So they are swapped at random, row by row, and p is how often a difference this large comes out.
  With few rows every way to swap them is tried, and the test is exact. It gives p.

`compare_texts` joins them by the rule of `paired`: the less certain of the two counts, so an interval without 0, a p
below 0.05 and a verdict always come together. Rows of one group are drawn and swapped together.

References
----------
Koehn: Statistical significance tests for machine translation evaluation. EMNLP 2004.
Riezler, Maxwell: On some pitfalls in automatic evaluation and significance testing for MT. ACL workshop 2005.
Phipson, Smyth: Permutation p-values should never be zero. Stat. Appl. Genet. Mol. Biol. 9 (2010).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from fewtune.metrics.base import FloatArray
from fewtune.metrics.corpus import CorpusScore, RowStatistics
from fewtune.metrics.intervals import Groups, Interval, centred
from fewtune.metrics.paired import Comparison, Evidence, conclude
from fewtune.metrics.resampling import DRAWS, Resampling, draw_scores, small_sample_stretch

SWAPS = 10_000


@dataclass(frozen=True, slots=True)
class PairedBootstrap:
    """A against B over bootstrap draws."""

    difference: Interval
    """How much better A is, whichever way the score runs."""
    share_better: float
    """Share of the draws in which A is better; a tie is half."""
    p: float
    """Two-sided."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def paired_bootstrap(
    a: CorpusScore, b: CorpusScore, *, groups: Groups = None, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> PairedBootstrap:
    """Koehn's test.

    Parameters
    ----------
    a, b : the same score of two systems on the same rows, in the same order.
    groups : [N] rows with the same group are drawn together.
    draws, seed : of the bootstrap.
    level : confidence.
    """
    plan = Resampling.of(a.rows, groups, draws=draws, seed=seed, level=level)
    difference_D, mean = _differences(a, b, plan), _difference(a, b)
    stretch = small_sample_stretch(plan.clusters, level) if plan.clusters > 1 else np.inf
    low, high = centred(mean, difference_D, stretch, level) if plan.clusters > 1 else (-np.inf, np.inf)
    method = f"paired bootstrap over {plan.clusters} clusters, {len(difference_D)} draws"
    not_above, not_below = (difference_D <= 0).sum() + 1, (difference_D >= 0).sum() + 1
    return PairedBootstrap(
        difference=Interval(mean, low, high, level, method),
        share_better=float(np.mean((difference_D > 0) + 0.5 * (difference_D == 0))),
        p=float(min(1.0, 2 * min(not_above, not_below) / (len(difference_D) + 1))),
    )


def randomisation_test(
    a: CorpusScore, b: CorpusScore, *, groups: Groups = None, swaps: int = SWAPS, seed: int = 0
) -> float:
    """Two-sided p of the difference between A and B, were each row's outputs as likely to be the other's.

    Parameters
    ----------
    a, b : the same score of two systems on the same rows, in the same order.
    groups : [N] rows with the same group are swapped together.
    swaps, seed : how many random swaps; all of them, where that is no more.
    """
    _same_rows(a, b)
    plan = Resampling.of(a.rows, groups, seed=seed)
    seen, reached, made = abs(a.value() - b.value()), 0, 0
    # Sums in another order differ in the last digits; what is equal must count as reached.
    slack = 1e-9 * max(1.0, abs(a.value()), abs(b.value()))
    for swap_dK in plan.swaps(swaps):
        mine_d, theirs_d = a.of_swaps(b, swap_dK, plan.cluster_N)
        reached += int((np.abs(mine_d - theirs_d) >= seen - slack).sum())
        made += len(swap_dK)
    return reached / made if plan.can_list(swaps) else (reached + 1) / (made + 1)


def compare_texts(
    a: CorpusScore,
    b: CorpusScore,
    *,
    groups: Groups = None,
    draws: int = DRAWS,
    swaps: int = SWAPS,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Whether system A is better than system B in this score, on the same rows.

    Parameters
    ----------
    a, b : the same score of two systems on the same rows, in the same order.
    groups : [N] rows with the same group count as one observation.
    draws, swaps, seed : of the bootstrap and of the randomisation.
    level : confidence of the interval; the verdict is two-sided at 1 − level.

    Returns
    -------
    Comparison
        As for classifiers; `difference` is positive where A is better, in the units of the score.
    """
    plan = Resampling.of(a.rows, groups, draws=draws, seed=seed, level=level)
    difference_D, clusters = _differences(a, b, plan), plan.clusters
    span = float(np.subtract(*a.bounds[::-1]))
    variance = float(difference_D.var()) * clusters / max(1, clusters - 1)
    by_chance = randomisation_test(a, b, groups=groups, swaps=swaps, seed=seed)
    evidence = Evidence(
        mean=_difference(a, b),
        variance=variance,
        freedom=clusters - 1,
        rows=a.rows,
        clusters=clusters,
        # Below 1 − level the two agree, and how small its p can get is only a matter of how many swaps were made:
        # it must not widen the interval then.
        exact=by_chance if by_chance >= 1 - level else 0.0,
        method=f"paired bootstrap ({draws} draws) and approximate randomisation over {clusters} clusters",
        unit=span if np.isfinite(span) else 1.0,
        step=_step(a, b),
    )
    found = conclude(evidence, level, bound=span)
    # Where nothing varies, no number of rows is known to help.
    return replace(found, p=max(found.p, by_chance), rows_needed=found.rows_needed if variance > 0 else None)


def _differences(a: CorpusScore, b: CorpusScore, plan: Resampling) -> FloatArray:
    """[D] how much better A is in each draw; draws that leave nothing to score are dropped."""
    _same_rows(a, b)
    mine_D, theirs_D = draw_scores([a, b], plan)
    difference_D = (mine_D - theirs_D) * (1.0 if a.higher_is_better else -1.0)
    kept_D = difference_D[np.isfinite(difference_D)]
    return kept_D if len(kept_D) else np.zeros(1)


def _difference(a: CorpusScore, b: CorpusScore) -> float:
    return a.value() - b.value() if a.higher_is_better else b.value() - a.value()


def _step(a: CorpusScore, b: CorpusScore) -> float:
    """By how much two systems differ on a row when they do: 1 for a match, else as much as rows differ among each
    other; 0 for a loss, where agreement to the last digit is no luck.
    """
    if not (isinstance(a, RowStatistics) and isinstance(b, RowStatistics)) or a.extremes is None:
        return 0.0
    if a.is_rate and b.is_rate:
        return 1.0
    values = np.concatenate([a.values_N(), b.values_N()])
    values = values[np.isfinite(values)]
    return float(values.std()) if len(values) else 0.0


def _same_rows(a: CorpusScore, b: CorpusScore) -> None:
    assert a.name == b.name, f"{a.name} against {b.name}"
    assert a.rows == b.rows, f"{a.rows} rows against {b.rows}: a paired test needs the same rows"


__all__ = ["PairedBootstrap", "compare_texts", "paired_bootstrap", "randomisation_test"]
