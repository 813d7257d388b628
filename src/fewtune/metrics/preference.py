"""Whether a model finds the better answer likelier.

Of a pair: the chosen answer counts as found where it costs fewer nats a token than the rejected one, its end included.
A sum over tokens would favour the shorter of two answers whatever they say; ORPO's odds are per token for the same
reason, and so is the ranking accuracy of Chen and others 2024 ("Preference Learning Algorithms Do Not Learn Preference
Rankings", arXiv 2405.19534), who find it far below what the training objective suggests. Beside it stands the
**reward accuracy** of DPO's own terms: whether training moved the chosen answer up by more than the rejected one, sums
of log-probabilities against the reference's.

Of single answers: how often a wanted one costs fewer nats a token than an unwanted one held out with it, which is the
area under the ROC curve; each row's score is its own part of it (DeLong's placement).
"""

from __future__ import annotations

import numpy as np

from fewtune.methods.base import FloatArray, Written


def per_token(written: Written) -> FloatArray:
    """[B] nats a token."""
    found: FloatArray = written.nll / np.maximum(written.tokens, 1)
    return found


def found_better(chosen: Written, rejected: Written) -> FloatArray:
    """[B] 1 where the chosen answer is the likelier one per token, 0 where it is not, one half for a tie."""
    return _wins(per_token(rejected) - per_token(chosen))


def placements(written: Written, wanted_B: np.ndarray) -> FloatArray:
    """[B] the share of answers of the other kind that each row stands on the right side of; one half without any."""
    cost_B = per_token(written)
    ahead_BB = _wins(cost_B[None, :] - cost_B[:, None])  # of the row over the column
    scores_B = np.full(len(cost_B), 0.5)
    wanted_B = np.asarray(wanted_B, dtype=bool)
    if wanted_B.any() and not wanted_B.all():
        scores_B[wanted_B] = ahead_BB[np.ix_(wanted_B, ~wanted_B)].mean(axis=1)
        scores_B[~wanted_B] = ahead_BB[np.ix_(wanted_B, ~wanted_B)].mean(axis=0)
    return scores_B


def margins(chosen: Written, rejected: Written) -> FloatArray:
    """[B] by how many nats the chosen answer is likelier, summed over tokens."""
    found: FloatArray = rejected.nll - chosen.nll
    return found


def moved_right(margins_B: FloatArray, before_B: FloatArray) -> FloatArray:
    """[B] 1 where the margin grew against the reference's, 0 where it shrank, one half where it stayed."""
    return _wins(margins_B - before_B)


def _wins(ahead: FloatArray) -> FloatArray:
    return np.where(ahead > 0, 1.0, np.where(ahead < 0, 0.0, 0.5))


__all__ = ["found_better", "margins", "moved_right", "per_token", "placements"]
