"""Which of several writers wins, and which length of tuning stands for a method.

The loss says which length to take: it is told of every token of every row. But few rows make a tuned model sure of
itself before they make it write worse, and where that shows, in texts for held-out prompts that come closer to what was
given (`metrics/closeness.py`), the length that wrote them stands for its method, if it still costs less than every
prompt: one that has lost half of what tuning bought is not taken for its texts.

Errors are those of rows, as there may be no more than three splits to tell an error by.

Legend: J splits, B held-out rows of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fewtune.methods.base import FloatArray, IntArray, Written
from fewtune.metrics.base import mean_score
from fewtune.metrics.closeness import closeness
from fewtune.metrics.intervals import Groups
from fewtune.metrics.paired import stretched_error
from fewtune.study.simplicity import BASELINES, rows_told_of, simplest

AHEAD = 1.0
"""Standard errors by which a length must write better."""
KEPT = 0.5
"""Share of the bits that the cheapest length saves over the cheapest prompt which another must save too, for its texts
to count."""

Scores = Sequence[FloatArray]
"""Of one candidate, J arrays [B]."""


def best_writer(
    scores: Sequence[Scores],
    written: Sequence[Sequence[Written]],
    methods: Sequence[str],
    held_out: Sequence[IntArray],
    groups: Groups,
) -> int:
    """The simplest of the tuned ones by what they wrote for held-out prompts; of plain text, and where a prompt costs
    fewer bits than all of them, by costs.

    A prompt is held against tuning by costs alone: who never ends is close to much that was given.

    Parameters
    ----------
    scores : of each candidate, simplest first, minus the bits that completions cost.
    written : of each candidate, what it wrote in each split.
    methods : name of each candidate's method; one stands there several times where several lengths were tried.
    """
    tuned = [place for place, method in enumerate(methods) if method not in BASELINES]
    means = [mean_score(one) for one in scores]
    cheapest = max(range(len(methods)), key=lambda place: (means[place], -place))
    told = closeness([written[place] for place in tuned], held_out) if cheapest in tuned else None
    if told is None:
        return simplest(scores, methods, held_out, groups)
    texts, wrote = dict(zip(tuned, told[0], strict=True)), told[1]
    prompt = max((means[place] for place, method in enumerate(methods) if method in BASELINES), default=-np.inf)
    standing = []
    for method in dict.fromkeys(methods[place] for place in tuned):
        lengths = [place for place in tuned if methods[place] == method]
        least = max(lengths, key=lambda place: (means[place], -place))
        able = [place for place in lengths if means[place] - prompt >= KEPT * max(means[least] - prompt, 0.0)]
        best = max([least, *able], key=lambda place: (mean_score(texts[place]), -place))
        rows = rows_told_of(wrote, groups)
        ahead, error = stretched_error(texts[best], texts[least], wrote, rows=rows, groups=groups)
        standing.append(best if ahead > AHEAD * error else least)
    place = simplest([texts[one] for one in standing], [methods[one] for one in standing], wrote, groups)
    return standing[place]
