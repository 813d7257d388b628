"""Worlds in which every candidate's true score is known: how often is the best one dropped, and what is saved?

A row is right with a probability that depends on how hard it is, on the candidate, on how well the candidate took to
this row, and on how the training of this split went. Rows are shared by all candidates, as in a real search; the true
score is the mean over all rows that could have been drawn.

Legend: R candidates, J splits, N rows, B rows a split holds out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewtune.data.splits import repeated_folds
from fewtune.study.halving import Halving


@dataclass(frozen=True)
class World:
    rows: int = 200
    folds: int = 5
    repeats: int = 2
    candidates: int = 12
    spread: float = 0.0
    """Standard deviation of the candidates' true strengths, in logits; 0: all are equally good."""
    failing: int = 0
    """Of the candidates, how many are far worse: a rate that is ten times too large."""
    taste: float = 1.0
    """Of a candidate for a row, in logits: what makes predictions differ between equally good ones."""
    training: float = 0.1
    """Of a split's training, in logits, each candidate's own."""
    losses: bool = False
    """Whether a row is scored by what it costs, in place of right or wrong."""

    def draw(self, seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Held-out rows [J][B], scores [R, J, N] (higher is better), true strengths [R]."""
        rng = np.random.default_rng(seed)
        strength_R = rng.normal(0, self.spread, self.candidates)
        strength_R[self.candidates - self.failing :] -= 2.0
        hard_N = rng.normal(1.0, 1.5, self.rows)
        taste_RN = rng.normal(0, self.taste, (self.candidates, self.rows))
        splits = repeated_folds([0, 1] * (self.rows // 2), folds=self.folds, repeats=self.repeats, seed=seed)
        training_RJ = rng.normal(0, self.training, (self.candidates, len(splits)))
        logit_RJN = strength_R[:, None, None] + (hard_N + taste_RN)[:, None, :] + training_RJ[:, :, None]
        if self.losses:
            return [split.test for split in splits], -np.logaddexp(0, -logit_RJN), strength_R
        right_RJN = (rng.random(logit_RJN.shape) < 1 / (1 + np.exp(-logit_RJN))).astype(float)
        return [split.test for split in splits], right_RJN, strength_R


@dataclass(frozen=True)
class Tally:
    """Over many worlds."""

    killed: float
    """Share in which the truly best was dropped."""
    lost: float
    """Mean true strength given up by following the search in place of judging everybody, in logits."""
    saved: float
    """Share of the runs that were not made."""


def tally(world: World, worlds: int, *, risk: float = 0.05, margin: float = 0.0) -> Tally:
    """Halving in many worlds."""
    killed, lost, made = 0, [], 0
    for seed in range(worlds):
        held_out, right_RJN, strength_R = world.draw(seed)
        halving = Halving(world.candidates, held_out, rows=world.rows, risk=risk, margin=margin)
        made += play(halving, held_out, right_RJN)
        # Where all are equally good, the first stands for the best: it can be dropped like any other.
        killed += int(np.argmax(strength_R)) not in halving.survivors
        everybody = [
            np.mean([right_RJN[r, j, rows].mean() for j, rows in enumerate(held_out)]) for r in range(len(right_RJN))
        ]
        lost.append(strength_R[int(np.argmax(everybody))] - strength_R[halving.best])
    return Tally(killed / worlds, float(np.mean(lost)), 1 - made / (worlds * world.candidates * len(held_out)))


def play(halving: Halving, held_out: list[np.ndarray], right_RJN: np.ndarray) -> int:
    """Answer what is asked until nothing is; how many runs that took."""
    made = 0
    while asked := halving.ask():
        made += len(asked)
        halving.tell({(place, split): right_RJN[place, split, held_out[split]] for place, split in asked})
    return made


def naive_kills(world: World, worlds: int) -> float:
    """How often plain halving, the worse half dropped whatever the difference, drops the truly best."""
    killed = 0
    for seed in range(worlds):
        held_out, right_RJN, strength_R = world.draw(seed)
        left = list(range(world.candidates))
        for stage in (2, 4, 8):
            means = [np.mean([right_RJN[r, j, held_out[j]].mean() for j in range(stage)]) for r in left]
            left = [left[place] for place in np.argsort(means)[::-1][: max(1, len(left) // 2)]]
        killed += int(np.argmax(strength_R)) not in left
    return killed / worlds
