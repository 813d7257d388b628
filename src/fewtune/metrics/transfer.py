"""Transfer and forgetting over a list of tunings, each begun where the last one ended.

R[s, t] is what the held-out rows of stage t cost after stage s, in bits per byte; R[0, t] before any tuning. With T
stages (Lopez-Paz and Ranzato 2017, arXiv 1706.08840; forgetting of Chaudhry and others 2018, arXiv 1801.10112), turned
so that they count bits:

    backward transfer   mean over t < T of R[t, t] − R[T, t]               positive: later stages helped earlier ones
    forgetting          mean over t < T of R[T, t] − min over 1 ≤ s < T of R[s, t]     positive: lost since the best
    forward transfer    mean over t > 1 of R[0, t] − R[t − 1, t]           positive: earlier stages helped a later one

Intervals are of a bootstrap over held-out rows, those of one prompt together: another seed moves the numbers too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fewtune.metrics.intervals import Groups, Interval, centred
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.resampling import DRAWS, Resampling, draw_scores, small_sample_stretch

Pair = tuple[Likelihoods, Likelihoods, Groups]
"""The same rows under two models, and which of them go together."""


@dataclass(frozen=True)
class Transfer:
    """The usual numbers; None where there are too few stages for one."""

    backward: Interval | None
    forgetting: Interval | None
    forward: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def transfer(
    costs: Sequence[Sequence[Likelihoods]],
    groups: Sequence[Groups] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = 0.95,
) -> Transfer:
    """Backward transfer, forgetting and forward transfer.

    Parameters
    ----------
    costs : [T + 1][T] what each stage's held-out rows cost before any tuning, then after each stage.
    groups : [T] of each stage's rows, those that count as one.
    draws, seed, level : of the bootstrap.
    """
    last = len(costs) - 1
    assert all(len(row) == last for row in costs), "one column a stage"
    groups = groups or [None] * last

    def mean(pairs: list[Pair]) -> Interval | None:
        return mean_saving(pairs, draws=draws, seed=seed, level=level) if pairs else None

    def best(stage: int) -> Likelihoods:
        return min((costs[after][stage] for after in range(1, last)), key=lambda one: one.bits_per_byte().value())

    earlier, later = range(last - 1), range(1, last)
    return Transfer(
        backward=mean([(costs[t + 1][t], costs[last][t], groups[t]) for t in earlier]),
        forgetting=mean([(costs[last][t], best(t), groups[t]) for t in earlier]),
        forward=mean([(costs[0][t], costs[t][t], groups[t]) for t in later]),
    )


def mean_saving(pairs: Sequence[Pair], *, draws: int = DRAWS, seed: int = 0, level: float = 0.95) -> Interval:
    """By how many bits per byte fewer the second model needs, averaged over sets of rows that are drawn independently.

    Parameters
    ----------
    pairs : of each set, the rows under the first model and under the second.
    """
    means, drawn, clusters = [], [], 0
    for place, (first, second, groups) in enumerate(pairs):
        plan = Resampling.of(first.rows, groups, draws=draws, seed=seed + 7919 * place, level=level)
        scores = first.bits_per_byte(), second.bits_per_byte()
        first_D, second_D = draw_scores(scores, plan)
        means.append(scores[0].value() - scores[1].value())
        drawn.append(first_D - second_D)
        clusters += plan.clusters
    difference_D = np.mean(drawn, axis=0)
    difference_D = difference_D[np.isfinite(difference_D)]
    value, method = float(np.mean(means)), f"paired bootstrap over {clusters} clusters of {len(pairs)} sets"
    if clusters <= len(pairs) or not len(difference_D):
        return Interval(value, -np.inf, np.inf, level, method)
    low, high = centred(value, difference_D, small_sample_stretch(clusters, level), level)
    return Interval(value, low, high, level, method)


__all__ = ["Transfer", "mean_saving", "transfer"]
