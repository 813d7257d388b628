"""Texts that say the same: copies, copies but for case and punctuation, near copies, and rewordings.

Four kinds, strongest first:

- `exact`: the same characters;
- `normalised`: the same after Unicode NFKC, case folding, and punctuation and runs of spaces made one space;
- `near`: most 4-grams in common, or a typo or two apart (`near.py`);
- `reworded`: nearly the same meaning and many of the same words (`reworded.py`), asked for with embeddings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.near import Indices, near_pairs
from fewtune.audit.reworded import Pairs, Vectors, closeness_bar, reworded_pairs
from fewtune.audit.spelling import normalise as normalise
from fewtune.data.base import Dataset
from fewtune.data.splits import merge_groups

Kind = Literal["exact", "normalised", "near", "reworded"]


@dataclass(frozen=True)
class Overlap:
    """A test text that is also in training."""

    train: int
    test: int
    kind: Kind
    similarity: float
    """1 for `exact` and `normalised`; the share of 4-grams in common for `near`; the closeness for `reworded`."""


@dataclass(frozen=True)
class Conflict:
    """Texts that say the same under different labels."""

    rows: tuple[int, ...]
    labels: tuple[Hashable, ...]
    """The label of each of `rows`."""


def duplicate_clusters(texts: Sequence[str]) -> list[int]:
    """A number for each text, the same for copies and near copies, also through others; by first appearance from 0."""
    keys, first = distinct(texts)
    pairs = near_pairs([normalise(texts[row]) for row in first])
    found = joined(range(len(first)), ((left, right) for left, right, _ in _each(pairs)))
    return [found[key] for key in keys]  # the first of each key comes in order, so numbers do


def joined(clusters: Sequence[int], pairs: Iterable[tuple[int, int]]) -> list[int]:
    """The clusters after joining those of each pair of rows, numbered by first appearance."""
    parent = list(range(max(clusters, default=-1) + 1))

    def root(key: int) -> int:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for left, right in pairs:
        one, other = root(clusters[left]), root(clusters[right])
        parent[max(one, other)] = min(one, other)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(key), len(numbers)) for key in clusters]


def groups_of(dataset: Dataset, clusters: Sequence[int] | None = None) -> list[int]:
    """For each row what no split may part it from: its given group, its cluster of copies, its family.

    A family is a row and all that was made from it (`Example.parent`), also where the first of it stands elsewhere.
    """
    groups = list(duplicate_clusters(dataset.texts) if clusters is None else clusters)
    given = [example.group for example in dataset]
    for kind in (given, families(dataset)):
        if any(value is not None for value in kind):
            groups = merge_groups(kind, groups)
    return groups


def families(dataset: Dataset) -> list[str | None]:
    """The id of the first ancestor of each row; None where no row has a parent."""
    return list(ancestors(dataset)) if any(example.parent is not None for example in dataset) else [None] * len(dataset)


def ancestors(dataset: Dataset) -> list[str]:
    """The id of the first ancestor of each row, its own where it has no parent; it may be of a row not here."""
    parents = {example.id: example.parent for example in dataset if example.parent is not None}
    return [_ancestor(example.id, parents) for example in dataset]


def _ancestor(id: str, parents: dict[str, str]) -> str:
    seen = {id}
    while (above := parents.get(id)) is not None and above not in seen:
        seen.add(above)
        id = above
    return id


def reworded(
    texts: Sequence[str],
    embed: Callable[[Sequence[str]], Vectors],
    *,
    seed: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> tuple[Pairs, float]:
    """Rows that say the same in nearly the same words, and the closeness that was asked for."""
    _, first = distinct(texts)
    kept = [texts[row] for row in first]
    spelt, vectors_ND = [normalise(text) for text in kept], embed(kept)
    bar = closeness_bar(spelt, vectors_ND, seed=seed)
    pairs = reworded_pairs(spelt, vectors_ND, at_least=bar, tick=tick)
    rows = np.asarray(first, dtype=np.int64)
    return Pairs(rows[pairs.left_P], rows[pairs.right_P], pairs.closeness_P), bar


def overlap(
    train_texts: Sequence[str],
    test_texts: Sequence[str],
    *,
    embed: Callable[[Sequence[str]], Vectors] | None = None,
    bar: float | None = None,
    tick: Callable[[], None] = lambda: None,
) -> list[Overlap]:
    """Test texts that are also in training, each with its closest training text, in test order.

    Parameters
    ----------
    embed : texts → vectors of unit length; None leaves rewordings out.
    bar : the closeness that makes a rewording; None works it out from the training texts.
    """
    found = _equal_overlaps(train_texts, test_texts)
    train = [(row, normalise(train_texts[row])) for row in distinct(train_texts)[1]]
    for kind in ("near", "reworded"):
        test = [(row, normalise(text)) for row, text in enumerate(test_texts) if row not in found]
        if not train or not test or (kind == "reworded" and embed is None):
            continue
        both = [text for _, text in [*train, *test]]
        if kind == "near":
            pairs = near_pairs(both, border=len(train))
        else:
            assert embed is not None
            train_vectors = embed([train_texts[row] for row, _ in train])
            bar = closeness_bar(both[: len(train)], train_vectors) if bar is None else bar
            vectors = np.concatenate([train_vectors, embed([test_texts[row] for row, _ in test])])
            close = reworded_pairs(both, vectors, at_least=bar, border=len(train), tick=tick)
            pairs = iter([(close.left_P, close.right_P, close.closeness_P)])
        for left, right, similarity in _each(pairs):
            pair = Overlap(train[left][0], test[right - len(train)][0], kind, round(similarity, 4))
            known = found.get(pair.test)
            if known is None or (-pair.similarity, pair.train) < (-known.similarity, known.train):
                found[pair.test] = pair
    return [found[row] for row in sorted(found)]


def _each(pieces: Iterable[tuple[Indices, Indices, NDArray[np.float64]]]) -> Iterator[tuple[int, int, float]]:
    for left_P, right_P, similarity_P in pieces:
        yield from zip(left_P.tolist(), right_P.tolist(), similarity_P.tolist(), strict=True)


def conflicts(
    texts: Sequence[str], labels: Sequence[Hashable], clusters: Sequence[int] | None = None
) -> list[Conflict]:
    """Clusters of copies whose labels differ, by first row. `clusters` saves finding them again."""
    assert len(texts) == len(labels), "one label a text"
    members: dict[int, list[int]] = defaultdict(list)
    for row, cluster in enumerate(duplicate_clusters(texts) if clusters is None else clusters):
        members[cluster].append(row)
    return [
        Conflict(tuple(rows), tuple(labels[row] for row in rows))
        for rows in members.values()
        if len({labels[row] for row in rows}) > 1
    ]


def distinct(texts: Sequence[str]) -> tuple[list[int], list[int]]:
    """For each text the number of its normalised form, and the first row of each form."""
    numbers: dict[str, int] = {}
    first: list[int] = []
    keys = []
    for row, text in enumerate(texts):
        key = numbers.setdefault(normalise(text), len(numbers))
        if key == len(first):
            first.append(row)
        keys.append(key)
    return keys, first


def _equal_overlaps(train_texts: Sequence[str], test_texts: Sequence[str]) -> dict[int, Overlap]:
    exact: dict[str, int] = {}
    normalised: dict[str, int] = {}
    for row, text in enumerate(train_texts):
        exact.setdefault(text, row)
        normalised.setdefault(normalise(text), row)
    found: dict[int, Overlap] = {}
    for row, text in enumerate(test_texts):
        if text in exact:
            found[row] = Overlap(exact[text], row, "exact", 1.0)
        elif (plain := normalise(text)) in normalised:
            found[row] = Overlap(normalised[plain], row, "normalised", 1.0)
    return found
