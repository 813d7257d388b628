"""Nested splits: within the training part of each split, folds of its own, to choose by before testing once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from fewtune.data.splits import Groups, Split, repeated_folds
from fewtune.data.time_splits import Times, forward_folds
from fewtune.errors import TaskError


def inner_folds(
    split: Split,
    labels: Sequence[Hashable],
    groups: Groups | None = None,
    *,
    folds: int,
    seed: int,
    times: Times | None = None,
) -> list[Split]:
    """Folds of `split.train`, in row numbers of the whole; by time where the outer split is.

    `labels`, `groups` and `times` are those of all rows. No row of `split.test` is in any of them.
    """
    rows = split.train
    within = None if groups is None else [groups[row] for row in rows.tolist()]
    if times is not None:
        made = forward_folds(times[rows], within, folds=folds)
    else:
        own = [labels[row] for row in rows.tolist()]
        # A seed of its own for each outer split, that says which.
        made = repeated_folds(own, within, folds=folds, seed=_derived(seed, split))
    return [replace(one, train=rows[one.train], test=rows[one.test]) for one in made]


def _derived(seed: int, split: Split) -> int:
    return seed * 1_000_003 + split.repeat * 1009 + split.fold + 1


def nested(
    splits: Sequence[Split],
    labels: Sequence[Hashable],
    groups: Groups | None = None,
    *,
    folds: int,
    seed: int,
    times: Times | None = None,
) -> list[tuple[Split, ...]]:
    """The inner folds of each split. Raises TaskError naming the split whose training part is too small."""
    found = []
    for split in splits:
        try:
            found.append(tuple(inner_folds(split, labels, groups, folds=folds, seed=seed, times=times)))
        except TaskError as error:
            what = f"Repeat {split.repeat + 1}, fold {split.fold + 1} cannot be split again: {error.what}"
            raise TaskError(what, remedy="Take fewer folds, or do without --nested.") from error
    return found
