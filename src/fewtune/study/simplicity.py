"""The simplest method within one standard error of the best, where nothing published is leant on.

Legend: J splits, B held-out rows of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fewtune.methods.base import FloatArray, IntArray
from fewtune.metrics.base import mean_score
from fewtune.metrics.intervals import Groups
from fewtune.metrics.paired import paired_error

BASELINES = ("majority", "zero_shot", "few_shot", "label_zero_shot", "label_few_shot")


def simplest(
    scores: Sequence[Sequence[FloatArray]], methods: Sequence[str], held_out: Sequence[IntArray], groups: Groups
) -> int:
    """Index of the simplest method within one corrected standard error of the best; a baseline only as the best.

    Of one method in several settings (epochs), the best alone is looked at: which of them is taken costs nothing later.

    Parameters
    ----------
    scores : of each candidate, simplest first, J arrays [B] of row scores; higher is better.
    methods : name of each candidate's method.
    """
    means = [mean_score(candidate) for candidate in scores]
    best = int(np.argmax(means))
    rows = rows_told_of(held_out, groups)
    for method in dict.fromkeys(methods):
        place = max((p for p, name in enumerate(methods) if name == method), key=lambda p: (means[p], -p))
        if place != best and method in BASELINES:
            continue
        behind, error = paired_error(scores[best], scores[place], held_out, rows=rows, groups=groups)
        if place == best or behind <= error:
            return place
    return best


def rows_told_of(held_out: Sequence[IntArray], groups: Groups) -> int:
    """N, as far as held-out rows tell."""
    return int(max(rows_B.max() for rows_B in held_out)) + 1 if groups is None else len(groups)
