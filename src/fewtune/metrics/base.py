"""What every metric is computed from: the predictions made on rows that were held out.

Shape legend for this package: N rows, C classes, J splits (repeats × folds), B rows held out by one split, M held-out
predictions in all (the sum of B over the splits), K clusters (rows that share a group count as one), R candidates,
D bootstrap draws, S scores computed together.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewtune.methods.base import Written
from fewtune.metrics.preference import found_better, placements

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def cluster_index(groups: Sequence[Hashable] | NDArray[np.generic] | None, rows: int) -> IntArray:
    """[N] cluster of each row, numbered from 0 in order of appearance; a row whose group is None stands alone."""
    if groups is None:
        return np.arange(rows, dtype=np.int64)
    assert len(groups) == rows, f"{len(groups)} groups for {rows} rows"
    keys = [("row", row) if group is None else ("group", group) for row, group in enumerate(groups)]
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], dtype=np.int64)


def mean_score(scores: Sequence[FloatArray]) -> float:
    """Over the rows of all splits, to nine digits, so that equal work is equal."""
    return round(float(np.concatenate(list(scores)).mean()), 9)


@dataclass(frozen=True)
class OutOfFold:
    """Held-out predictions of one candidate over J splits.

    A single split that holds out every row is a plain test set: nothing of it was trained on.
    """

    labels_N: IntArray
    """True class of each row."""
    held_out: tuple[IntArray, ...]
    """J arrays [B]: the rows each split held out."""
    probs: tuple[FloatArray, ...]
    """J arrays [B, C]: what was predicted for them."""
    groups: Sequence[Hashable] | None = None
    """[N] rows that share a group are one cluster; None stands alone."""
    written: tuple[Written, ...] | None = None
    """J: of a writer, what it made of the rows held out; it knows no classes, so `probs` are then [B, 0]."""
    rejected: tuple[Written, ...] | None = None
    """J: of preference pairs, what the rejected answers cost; `written` is then of the chosen ones."""
    wanted_N: BoolArray | None = None
    """Of single answers, whether each row's is wanted."""

    def __post_init__(self) -> None:
        assert len(self.held_out) == len(self.probs) > 0, "one array of probabilities for each split"
        for rows_B, probs_BC in zip(self.held_out, self.probs, strict=True):
            assert len(rows_B) == len(probs_BC) > 0, "each split holds out at least one row, with one prediction each"

    @classmethod
    def from_folds(
        cls,
        labels_N: ArrayLike,
        folds_PN: ArrayLike,
        probs_PNC: ArrayLike,
        groups: Sequence[Hashable] | None = None,
    ) -> OutOfFold:
        """From P repeats: `folds_PN[p, n]` is the fold that held row n out, `probs_PNC[p, n]` its prediction there."""
        folds, probs = np.asarray(folds_PN), np.asarray(probs_PNC, dtype=np.float64)
        held_out: list[IntArray] = []
        split_probs: list[FloatArray] = []
        for fold_N, probs_NC in zip(folds, probs, strict=True):
            for fold in np.unique(fold_N):
                held_out.append(np.flatnonzero(fold_N == fold))
                split_probs.append(probs_NC[held_out[-1]])
        return cls(np.asarray(labels_N, dtype=np.int64), tuple(held_out), tuple(split_probs), groups)

    @cached_property
    def rows_M(self) -> IntArray:
        """Row of each held-out prediction, split after split."""
        return np.concatenate(self.held_out)

    @cached_property
    def labels_M(self) -> IntArray:
        """True class of each held-out prediction."""
        return self.labels_N[self.rows_M]

    @cached_property
    def probs_MC(self) -> FloatArray:
        """All held-out predictions, split after split."""
        return np.concatenate(self.probs)

    @cached_property
    def correct(self) -> tuple[FloatArray, ...]:
        """J arrays [B]: 1.0 where the most probable class was the true one."""
        pairs = zip(self.held_out, self.probs, strict=True)
        return tuple((probs.argmax(axis=1) == self.labels_N[rows]).astype(np.float64) for rows, probs in pairs)

    @property
    def prefers(self) -> bool:
        """Whether candidates are compared by which answer they find better."""
        return self.rejected is not None or self.wanted_N is not None

    @cached_property
    def row_scores(self) -> tuple[FloatArray, ...]:
        """J arrays [B], higher is better: what candidates are compared by. 1 where the class was right; of a writer,
        minus the bits a completion cost over the bytes of an average one, so that their mean is minus bits per byte;
        of preferences, whether the better answer is found (`metrics/preference.py`).
        """
        if self.written is None:
            return self.correct
        if self.rejected is not None:
            return tuple(found_better(*both) for both in zip(self.written, self.rejected, strict=True))
        if self.wanted_N is not None:
            pairs = zip(self.written, self.held_out, strict=True)
            return tuple(placements(written, self.wanted_N[rows_B]) for written, rows_B in pairs)
        average = float(np.concatenate([w.bytes for w in self.written]).mean()) * float(np.log(2))
        return tuple(-written.nll / max(average, 1e-12) for written in self.written)

    @cached_property
    def score(self) -> float:
        """The mean of `row_scores`."""
        return mean_score(self.row_scores)

    @cached_property
    def tested_N(self) -> IntArray:
        """The rows held out at least once, sorted: all of them, but for splits by time or of a person's own."""
        return np.unique(self.rows_M)

    def only_tested(self) -> OutOfFold:
        """The same predictions with the rows never held out left away, the others numbered anew."""
        kept = self.tested_N
        if len(kept) == len(self.labels_N):
            return self
        held_out = tuple(np.searchsorted(kept, rows_B).astype(np.int64) for rows_B in self.held_out)
        groups = None if self.groups is None else [self.groups[row] for row in kept]
        wanted_N = None if self.wanted_N is None else self.wanted_N[kept]
        return OutOfFold(self.labels_N[kept], held_out, self.probs, groups, self.written, self.rejected, wanted_N)

    def only(self, rows: IntArray) -> OutOfFold:
        """Predictions of some of the rows, sorted and numbered anew; a split that held none of them out is left away.

        Raises
        ------
        ValueError
            No split held any of them out.
        """
        seen = [np.isin(rows_B, rows) for rows_B in self.held_out]
        kept = [split for split, mask in enumerate(seen) if mask.any()]
        if not kept:
            raise ValueError("no split held any of these rows out")
        written = None
        if self.written is not None:
            written = tuple(self.written[split].subset(np.flatnonzero(seen[split])) for split in kept)
        return OutOfFold(
            self.labels_N[rows],
            tuple(np.searchsorted(rows, self.held_out[split][seen[split]]).astype(np.int64) for split in kept),
            tuple(self.probs[split][seen[split]] for split in kept),
            None if self.groups is None else [self.groups[row] for row in rows],
            written,
        )

    @cached_property
    def mean_probs_NC(self) -> FloatArray:
        """Each row's prediction averaged over the splits that held it out; NaN for a row never held out."""
        total_NC = np.zeros((len(self.labels_N), self.probs_MC.shape[1]))
        np.add.at(total_NC, self.rows_M, self.probs_MC)
        times_N = np.bincount(self.rows_M, minlength=len(self.labels_N)).astype(np.float64)
        times_N[times_N == 0] = np.nan
        return total_NC / times_N[:, None]


def row_means(values: Sequence[FloatArray], held_out: Sequence[IntArray], rows: int) -> FloatArray:
    """[N] mean of each row's values over the splits that held it out; NaN for a row never held out."""
    rows_M = np.concatenate(list(held_out))
    total_N = np.bincount(rows_M, weights=np.concatenate(list(values)), minlength=rows)
    times_N = np.bincount(rows_M, minlength=rows).astype(np.float64)
    times_N[times_N == 0] = np.nan
    return np.asarray(total_N / times_N, dtype=np.float64)
