"""What a writer's completions cost at the temperature that suits it, so that lengths of tuning are compared fairly.

Few rows make a tuned model sure of itself before they make it worse: its loss rises because right words are given too
little of a probability that has become too sharp, while what it writes greedily, which no temperature changes, still
gets better. Dividing the logits by one number takes that part of the loss away (temperature scaling, Guo and others
2017, arXiv 1706.04599). The number is found for each split on the rows of the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fewtune.methods.base import FloatArray, IntArray, Written


def tempered_scores(written: Sequence[Written], held_out: Sequence[IntArray]) -> list[FloatArray]:
    """J arrays [B] like `OutOfFold.row_scores`, each split at the temperature that is best for the other splits' rows.

    At 1 where other temperatures were not looked at, and of a lone split.
    """
    costs = [costs_by_temperature(part) for part in written]
    bits = float(np.concatenate([part.bytes for part in written]).mean()) * float(np.log(2))
    found = []
    for own, rows_B in zip(costs, held_out, strict=True):
        others = [cost[~np.isin(rows, rows_B)] for cost, rows in zip(costs, held_out, strict=True)]
        best = int(np.argmin(np.concatenate(others).sum(axis=0)))
        found.append(-own[:, best] / max(bits, 1e-12))
    return found


def costs_by_temperature(written: Written) -> FloatArray:
    """[B, 1 + K] nats at 1 and at each of TEMPERATURES; [B, 1] where those were not looked at."""
    plain = written.nll[:, None]
    return plain if written.tempered is None else np.hstack([plain, written.tempered])
