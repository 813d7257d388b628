"""Test rows that are not new: copies, rewordings and relatives of training rows, and rows of a training row's group.

`fewtune check` names them and `fewtune fit` scores the other rows: both call `leaks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fewtune.audit.duplicates import ancestors, overlap
from fewtune.audit.reworded import Vectors
from fewtune.data.base import Dataset

LeakKind = Literal["exact", "normalised", "near", "family", "group", "reworded"]
KINDS: dict[LeakKind, str] = {
    "exact": "the same text",
    "normalised": "the same but for case, punctuation and spaces",
    "near": "nearly the same spelling",
    "family": "made from it, or it from this row, or both from one",
    "group": "of the same group",
    "reworded": "the same in other words",
}
"""The surest first, in the words of the report."""


@dataclass(frozen=True)
class Leak:
    """A test row that is also in training."""

    test: int
    train: int
    """Indices into the two datasets."""
    kind: LeakKind
    similarity: float
    """See `duplicates.Overlap`; 1 for `family` and `group`."""


def leaks(
    train: Dataset,
    test: Dataset,
    *,
    embed: Callable[[Sequence[str]], Vectors] | None = None,
    bar: float | None = None,
    tick: Callable[[], None] = lambda: None,
) -> list[Leak]:
    """Each leaked test row once, under the surest measure that finds it, in test order.

    Parameters
    ----------
    embed : texts → vectors of unit length; None leaves rewordings out.
    bar : the closeness that makes a rewording; None works it out from the training texts.
    """
    found: dict[int, Leak] = {}
    said = overlap(train.texts, test.texts, embed=embed, bar=bar, tick=tick)
    candidates = [Leak(pair.test, pair.train, pair.kind, pair.similarity) for pair in said]
    candidates += [Leak(row, twin, "family", 1.0) for row, twin in _relatives(train, test).items()]
    candidates += [Leak(row, twin, "group", 1.0) for row, twin in _same_group(train, test).items()]
    order = list(KINDS)
    for leak in sorted(candidates, key=lambda leak: order.index(leak.kind)):
        found.setdefault(leak.test, leak)
    return [found[row] for row in sorted(found)]


def _relatives(train: Dataset, test: Dataset) -> dict[int, int]:
    """Test rows whose parent, child or sibling stands in training.

    A parent is looked for in a row's own file first: ids that are row numbers mean other rows in another file.
    """
    if not any(example.parent is not None for dataset in (train, test) for example in dataset):
        return {}
    in_train = {example.id: row for row, example in enumerate(train)}
    in_test = {example.id for example in test}
    orphans: dict[str, int] = {}
    for row, root in enumerate(ancestors(train)):
        if root not in in_train:
            orphans.setdefault(root, row)
    found = {}
    for row, root in enumerate(ancestors(test)):
        twin = orphans.get(root)
        if twin is None and root not in in_test:
            twin = in_train.get(root)
        if twin is not None:
            found[row] = twin
    return found


def _same_group(train: Dataset, test: Dataset) -> dict[int, int]:
    """Test rows whose group stands in training."""
    first: dict[str, int] = {}
    for row, example in enumerate(train):
        if example.group is not None:
            first.setdefault(example.group, row)
    column = group_column(train)
    found = {}
    for row, example in enumerate(test):
        group = example.group if example.group is not None or column is None else example.fields.get(column)
        if group is not None and group in first:
            found[row] = first[group]
    return found


def group_column(dataset: Dataset) -> str | None:
    """The column that the rows' groups were read from."""
    grouped = [example for example in dataset if example.group is not None]
    names = grouped[0].fields if grouped else ()
    return next((name for name in names if all(one.fields.get(name) == one.group for one in grouped)), None)
