"""Deterministic splits: stratified, group-aware, repeated.

What goes together (a *block*) is a group, or a single row without one. Blocks are dealt to folds, the largest first,
each to the fold that holds least of its classes; single rows come last and even out what the groups left.

Promises, each held by a like-named test:

- every row is tested exactly once a repeat; no group is on two sides;
- when no rows are grouped, rows of a class differ by at most one between folds, and so do the folds' sizes;
- the same seed gives the same splits, whatever the classes and groups are called; repeat r does not depend on how
  many repeats are asked for.

A class with a single block cannot be in training when that block is tested: it is tested all the same (leaving it out
would make the score too good), and `Split.note` says so. In `holdout` it stays in training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewtune.errors import TaskError, UsageError

Indices = NDArray[np.int64]
Groups = Sequence[Hashable | None]


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to learn from and rows to test on."""

    repeat: int
    fold: int
    train: Indices
    """Sorted row indices."""
    test: Indices
    """Sorted row indices; with `train`, every row once."""
    folds: int = 1
    """Folds made, which may be fewer than asked for."""
    note: str = ""
    """What a person should know about all splits of this call; the same on each."""


@dataclass(frozen=True)
class _Block:
    """Rows that go together, and how many of each class they are."""

    rows: tuple[int, ...]
    counts: tuple[tuple[int, int], ...]
    """(class code, rows) pairs."""


def repeated_folds(
    labels: Sequence[Hashable], groups: Groups | None = None, *, folds: int, repeats: int = 1, seed: int
) -> list[Split]:
    """Cut the rows into `folds` test parts, `repeats` times over.

    Parameters
    ----------
    labels : sequence of hashable
        The class of each row.
    groups : sequence of hashable or None, optional
        What may not be split, for each row; None for a row on its own.
    folds : int
        Parts a repeat; lowered to the number of groups where there are fewer, which `Split.note` says.
    repeats : int
        Independent cuts.
    seed : int
        The only source of chance.

    Returns
    -------
    list of Split
        `repeats` times the folds, in order.

    Raises
    ------
    UsageError
        Fewer than 2 folds, fewer than 1 repeat, or lists of different lengths.
    TaskError
        All rows are one group; or a class is in one group only and nothing but one class would be left to learn from.
    """
    if folds < 2 or repeats < 1:
        raise UsageError(f"folds must be 2 or more and repeats 1 or more, not {folds} and {repeats}.")
    codes, blocks = _blocks(labels, groups)
    made, note = _feasible(codes, blocks, folds)
    splits = []
    for repeat in range(repeats):
        fold_N = _deal(codes, blocks, made, np.random.default_rng([seed, repeat]))
        for fold in range(made):
            test = fold_N == fold
            splits.append(Split(repeat, fold, _where(~test), _where(test), made, note))
    return splits


def holdout(labels: Sequence[Hashable], groups: Groups | None = None, *, share: float, seed: int) -> Split:
    """Set about `share` of the rows aside, stratified, no group split, some of each class left in training.

    `test` is empty where no group can be spared so. Without groups, `test` has round(share · rows) rows unless
    classes are too small to give them.

    Raises
    ------
    UsageError
        `share` is not between 0 and 1, or the lists have different lengths.
    """
    if not 0 < share < 1:
        raise UsageError(f"share must be between 0 and 1, not {share}.")
    codes, blocks = _blocks(labels, groups)
    rng = np.random.default_rng(seed)
    sizes = np.bincount(codes) if len(codes) else np.zeros(0, dtype=np.int64)
    target = _apportion(sizes, share, rng)
    left: list[int] = sizes.tolist()
    order = [blocks[place] for place in _largest_first(blocks, rng)]
    held: list[int] = []
    wanted = round(share * len(codes))
    for block in order:
        if len(held) < wanted and _spared(block, left) and _nearer(block, target):
            held += _take(block, target, left)
    if not held:
        smallest = next((block for block in reversed(order) if _spared(block, left)), None)
        held += _take(smallest, target, left) if smallest is not None else ()
    test = np.zeros(len(codes), dtype=bool)
    test[held] = True
    return Split(0, 0, _where(~test), _where(test))


def merge_groups(groups: Groups | None, clusters: Sequence[Hashable]) -> list[int]:
    """Groups joined with clusters: rows that share either, directly or through other rows, share a number.

    Numbers count up from 0 in order of first appearance.

    Raises
    ------
    UsageError
        The lists have different lengths.
    """
    if groups is not None and len(groups) != len(clusters):
        raise UsageError(f"{len(clusters)} clusters but {len(groups)} groups.")
    parent = list(range(len(clusters)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[tuple[str, Hashable], int] = {}
    for kind, values in (("group", groups if groups is not None else ()), ("cluster", clusters)):
        for row, value in enumerate(values):
            if value is not None:
                joined = sorted((root(row), root(first.setdefault((kind, value), row))))
                parent[joined[1]] = joined[0]
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(row), len(numbers)) for row in range(len(clusters))]


def _blocks(labels: Sequence[Hashable], groups: Groups | None) -> tuple[Indices, list[_Block]]:
    """Class codes by first appearance, so that names do not matter; and the blocks, by first row."""
    if groups is not None and len(groups) != len(labels):
        raise UsageError(f"{len(labels)} labels but {len(groups)} groups.")
    numbers: dict[Hashable, int] = {}
    codes = np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)
    members: dict[Hashable, list[int]] = {}
    for row in range(len(codes)):
        group = groups[row] if groups is not None else None
        members.setdefault(("row", row) if group is None else ("group", group), []).append(row)
    listed = codes.tolist()
    blocks = [_Block(tuple(rows), tuple(Counter(listed[row] for row in rows).items())) for rows in members.values()]
    return codes, blocks


def _feasible(codes: Indices, blocks: list[_Block], folds: int) -> tuple[int, str]:
    """Folds that can be made, and what to say; an error where no fair test exists."""
    if len(blocks) < 2:
        remedy = "Check the group column, and that the texts are not all alike."
        raise TaskError(f"{len(codes)} rows in {len(blocks)} group cannot be split for a test.", remedy=remedy)
    spread = Counter(code for block in blocks for code, _ in block.counts)
    alone = [code for code, count in spread.items() if count == 1]
    if len(spread) == 2 and alone:
        what = "One of the two classes has a single row or group: testing it leaves only the other to learn from."
        raise TaskError(what, remedy="Add rows of the rare class.")
    said = []
    if len(blocks) < folds:
        kind = "groups" if any(len(block.rows) > 1 for block in blocks) else "rows"
        said.append(f"{len(blocks)} folds, not {folds}: there are only {len(blocks)} {kind}.")
    if alone:
        kind = "1 class has" if len(alone) == 1 else f"{len(alone)} classes have"
        said.append(f"{kind} a single row or group: when that is tested, none of its class is in training.")
    return min(folds, len(blocks)), " ".join(said)


def _deal(codes: Indices, blocks: list[_Block], folds: int, rng: np.random.Generator) -> Indices:
    """The fold of each row."""
    if len(blocks) == len(codes):
        return _deal_rows(codes, folds, rng)
    return _deal_blocks(codes, blocks, folds, rng)


def _deal_rows(codes: Indices, folds: int, rng: np.random.Generator) -> Indices:
    """Rows shuffled, sorted by class, dealt like cards: a class goes on where the last one stopped."""
    shuffled = rng.permutation(len(codes))
    class_order = rng.permutation(int(codes.max()) + 1)
    dealt = shuffled[np.argsort(class_order[codes[shuffled]], kind="stable")]
    fold_N = np.empty(len(codes), dtype=np.int64)
    fold_N[dealt] = rng.permutation(folds)[np.arange(len(codes)) % folds]
    return fold_N


def _deal_blocks(codes: Indices, blocks: list[_Block], folds: int, rng: np.random.Generator) -> Indices:
    """Each block to the fold with least of its classes (a share of the class, so rare classes count), then least rows.

    With n_c rows of class c, k_c of them in the block, minimising sum_c (held_fc + k_c - n_c / folds)^2 / n_c over
    folds f is minimising sum_c k_c · held_fc / n_c: the other terms are the same for every fold.
    """
    sizes = np.bincount(codes).tolist()
    held = [[0] * len(sizes) for _ in range(folds)]
    totals = [0] * folds
    fold_N = np.empty(len(codes), dtype=np.int64)
    order = rng.permutation(folds).tolist()
    waiting = len(blocks)
    for place in _largest_first(blocks, rng):
        block = blocks[place]
        empty = [fold for fold in order if totals[fold] == 0]
        among = empty if len(empty) >= waiting else order  # no fold may stay empty
        best = min(
            among,
            key=lambda fold: (sum(k * held[fold][c] / sizes[c] for c, k in block.counts), totals[fold]),
        )
        for code, count in block.counts:
            held[best][code] += count
        totals[best] += len(block.rows)
        fold_N[list(block.rows)] = best
        waiting -= 1
    return fold_N


def _largest_first(blocks: list[_Block], rng: np.random.Generator) -> list[int]:
    """Block numbers by size, chance among equals; classes together, so that single rows are dealt class by class."""
    shuffled: list[int] = rng.permutation(len(blocks)).tolist()
    return sorted(shuffled, key=lambda place: (-len(blocks[place].rows), blocks[place].counts))


def _apportion(sizes: Indices, share: float, rng: np.random.Generator) -> list[int]:
    """Rows to hold of each class: whole parts first, then the largest fractions, one of each class left."""
    wanted = share * sizes
    target: Indices = np.minimum(np.floor(wanted + 1e-9).astype(np.int64), np.maximum(sizes - 1, 0))
    missing = round(share * int(sizes.sum())) - int(target.sum())
    chance = rng.permutation(len(sizes))
    for code in np.lexsort((chance, -(wanted - target).round(9))):
        if missing > 0 and target[code] < sizes[code] - 1:
            target[code] += 1
            missing -= 1
    whole: list[int] = target.tolist()
    return whole


def _spared(block: _Block, left: Sequence[int]) -> bool:
    """Whether every class stays in training without the block."""
    return all(left[code] > count for code, count in block.counts)


def _nearer(block: _Block, target: Sequence[int]) -> bool:
    """Whether holding the block brings the classes nearer to what is still wanted of them."""
    return sum(abs(target[code] - count) - abs(target[code]) for code, count in block.counts) < 0


def _take(block: _Block, target: list[int], left: list[int]) -> tuple[int, ...]:
    """The block's rows: what is still wanted and what is left in training go down."""
    for code, count in block.counts:
        target[code] -= count
        left[code] -= count
    return block.rows


def _where(mask: NDArray[np.bool_]) -> Indices:
    places: Indices = np.flatnonzero(mask).astype(np.int64)
    return places
