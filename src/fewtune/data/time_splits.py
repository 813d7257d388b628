"""Splits by time: learn from the past, test on the future.

Promises, each held by a like-named test:

- every row learned from is older than every row tested, and rows of one time fall on one side;
- no group is on two sides: rows of the past that share a group with a tested row are left out, not moved;
- tested parts follow one another, and only the oldest part is never tested.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewtune.data.splits import Groups, Indices, Split
from fewtune.errors import TaskError, UsageError

Times = NDArray[np.float64]


def forward_folds(times: Times, groups: Groups | None = None, *, folds: int) -> list[Split]:
    """Forward-chaining folds: the rows by time in `folds` + 1 parts, each but the first tested on all before it.

    Parameters
    ----------
    times : [N] numbers that grow with time.
    groups : what may not be on two sides, for each row; None for a row on its own.
    folds : parts to test; fewer where too few moments differ, which `Split.note` says.

    Raises
    ------
    UsageError : no fold asked for, or lists of different lengths.
    TaskError : all rows are of one time, or every row of the past shares a group with the future.
    """
    if folds < 1:
        raise UsageError(f"folds must be 1 or more, not {folds}.")
    order_N, starts = _moments(times)
    wanted = [round(len(times) * part / (folds + 1)) for part in range(1, folds + 1)]
    cuts = sorted({min(starts, key=lambda start: (abs(start - cut), start)) for cut in wanted} - {0})
    if not cuts:
        raise TaskError("All rows are of one time: nothing is before, and nothing after.", remedy="Check --time.")
    splits = [
        _split(order_N, cut, end, groups, fold)
        for fold, (cut, end) in enumerate(zip(cuts, [*cuts[1:], None], strict=True))
    ]
    splits = [split for split in splits if len(split.train)]
    if not splits:
        what = "Every row of the past shares a group with a row of the future: nothing is left to learn from."
        raise TaskError(what, remedy="Check the group column, or split without it.")
    note = _note(splits, folds, len(times))
    return [Split(0, number, one.train, one.test, len(splits), note) for number, one in enumerate(splits)]


def latest(times: Times, groups: Groups | None = None, *, share: float) -> Split:
    """About `share` of the rows, the newest, to test on; the older ones to learn from, but for those sharing a group.

    Raises
    ------
    UsageError : `share` is not between 0 and 1.
    TaskError : as in `forward_folds`.
    """
    if not 0 < share < 1:
        raise UsageError(f"share must be between 0 and 1, not {share}.")
    order_N, starts = _moments(times)
    wanted = len(times) - round(share * len(times))
    later = [start for start in starts if start > 0]
    if not later:
        raise TaskError("All rows are of one time: nothing is before, and nothing after.", remedy="Check --time.")
    cut = min(later, key=lambda start: (abs(start - wanted), start))
    found = _split(order_N, cut, None, groups, 0)
    if not len(found.train):
        what = "Every row of the past shares a group with a row of the future: nothing is left to learn from."
        raise TaskError(what, remedy="Check the group column, or split without it.")
    return Split(0, 0, found.train, found.test, 1, _note([found], 1, len(times)))


def _moments(times: Times) -> tuple[Indices, list[int]]:
    """Rows by time, and the places in that order where another moment begins."""
    order_N: Indices = np.argsort(times, kind="stable").astype(np.int64)
    ordered = times[order_N]
    return order_N, [0, *(np.flatnonzero(np.diff(ordered)) + 1).tolist()]


def _split(order_N: Indices, cut: int, end: int | None, groups: Groups | None, fold: int) -> Split:
    test, train = order_N[cut:end], order_N[:cut]
    if groups is not None:
        held = {groups[row] for row in test.tolist()} - {None}
        train = np.asarray([row for row in train.tolist() if groups[row] not in held], dtype=np.int64)
    return Split(0, fold, np.sort(train), np.sort(test))


def _note(splits: Sequence[Split], asked: int, rows: int) -> str:
    said = []
    if len(splits) < asked:
        said.append(f"{len(splits)} folds by time, not {asked}: too few moments differ.")
    tested = int(sum(len(split.test) for split in splits))
    before = [rows - tested + int(sum(len(s.test) for s in splits[:number])) for number in range(len(splits))]
    left_out = sum(count - len(split.train) for count, split in zip(before, splits, strict=True))
    if left_out > 0:
        said.append(f"Rows of the past that share a group or a text with the future are left out ({left_out} in all).")
    return " ".join(said)
