"""Texts that say the same: copies, copies but for case and punctuation, and near copies.

Three kinds, strongest first:

- `exact`: the same characters;
- `normalised`: the same after Unicode NFKC, case folding, and punctuation and runs of spaces made one space;
- `near`: at least `NEAR` of their character 4-grams shared (Jaccard), both normalised texts `SHORTEST` characters or
  longer: "ok" and "ok ok" mean nothing by their spelling.

Near copies are found without comparing all pairs: two sets of n members with a Jaccard similarity of t or more share
k of the (1 - t)·n + k rarest members of each (the prefix filter of Chaudhuri, Ganti & Kaushik 2006, ICDE, asked for
k), so only texts with `SHARED` rare 4-grams in common are compared. That misses no pair but for this: a rare 4-gram in
more than `LONGEST_POSTING` texts counts only between neighbours in alphabetical order, so that time and memory stay
bounded for 100,000 letters made from one template.

Axes: T texts, G buckets of 4-grams, P candidate pairs.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fewtune.data.base import Dataset
from fewtune.data.splits import merge_groups

Kind = Literal["exact", "normalised", "near"]
Indices = NDArray[np.int64]

NEAR = 0.8
SHORTEST = 20
GRAM = 4
BUCKETS = 1 << 22
"""4-grams are hashed to this many numbers; two of a text in one are rare enough not to move a similarity."""
LONGEST_POSTING = 400
NEIGHBOURS = 20
SHARED = 5
CHUNK_PAIRS = 4_000_000
CHUNK_GRAMS = 2_000_000


@dataclass(frozen=True)
class Overlap:
    """A test text that is also in training."""

    train: int
    test: int
    kind: Kind
    similarity: float
    """1 for `exact` and `normalised`; the share of 4-grams in common for `near`."""


@dataclass(frozen=True)
class Conflict:
    """Texts that say the same under different labels."""

    rows: tuple[int, ...]
    labels: tuple[Hashable, ...]
    """The label of each of `rows`."""


def duplicate_clusters(texts: Sequence[str]) -> list[int]:
    """A number for each text, the same for copies and near copies, also through others; by first appearance from 0."""
    keys, first = _distinct(texts)
    parent = list(range(len(first)))

    def root(key: int) -> int:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for left_P, right_P, _ in _near_pairs([normalise(texts[row]) for row in first]):
        for left, right in zip(left_P.tolist(), right_P.tolist(), strict=True):
            parent[max(root(left), root(right))] = min(root(left), root(right))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(key), len(numbers)) for key in keys]


def groups_of(dataset: Dataset, clusters: Sequence[int] | None = None) -> list[int]:
    """For each row what no split may part it from: its given group merged with its cluster of copies."""
    given = [example.group for example in dataset]
    clusters = duplicate_clusters(dataset.texts) if clusters is None else clusters
    return merge_groups(given if any(group is not None for group in given) else None, clusters)


def overlap(train_texts: Sequence[str], test_texts: Sequence[str]) -> list[Overlap]:
    """Test texts that are also in training, each with its closest training text, in test order."""
    found = _equal_overlaps(train_texts, test_texts)
    left_over = [row for row in range(len(test_texts)) if row not in found]
    _, train_first = _distinct(train_texts)
    texts = [normalise(train_texts[row]) for row in train_first]
    border = len(texts)
    texts += [normalise(test_texts[row]) for row in left_over]
    for left_P, right_P, similarity_P in _near_pairs(texts, border=border):
        for left, right, similarity in zip(left_P.tolist(), right_P.tolist(), similarity_P.tolist(), strict=True):
            pair = Overlap(train_first[left], left_over[right - border], "near", round(similarity, 4))
            known = found.get(pair.test)
            if known is None or (-pair.similarity, pair.train) < (-known.similarity, known.train):
                found[pair.test] = pair
    return [found[row] for row in sorted(found)]


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


def normalise(text: str) -> str:
    """NFKC, case folded, punctuation as spaces, apostrophes dropped; if nothing is left, the text case folded."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = " ".join(folded.translate(_punctuation()).split())
    return bare or " ".join(folded.split())


@lru_cache(maxsize=1)
def _punctuation() -> dict[int, str]:
    """Symbols such as emoji, $ and + carry meaning and stay."""
    marks = {code: " " for code in range(0x20000) if unicodedata.category(chr(code)).startswith("P")}
    return {**marks, ord("'"): "", ord("’"): ""}


def _distinct(texts: Sequence[str]) -> tuple[list[int], list[int]]:
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


def _near_pairs(texts: Sequence[str], *, border: int | None = None) -> Iterator[tuple[Indices, Indices, Any]]:
    """Pairs (left < right) of at least `NEAR` and their similarity, in pieces; with `border`, only across it."""
    grams_TG = _grams(texts)
    sizes = np.diff(grams_TG.indptr)
    for left_P, right_P in _candidates(*_rarest(grams_TG), texts):
        keep = np.minimum(sizes[left_P], sizes[right_P]) >= NEAR * np.maximum(sizes[left_P], sizes[right_P])
        if border is not None:
            keep &= (left_P < border) & (right_P >= border)
        left_P, right_P = left_P[keep], right_P[keep]
        common_P = _common(grams_TG, left_P, right_P)
        similarity_P = common_P / np.maximum(sizes[left_P] + sizes[right_P] - common_P, 1)
        near = similarity_P >= NEAR
        yield left_P[near], right_P[near], similarity_P[near]


def _grams(texts: Sequence[str]) -> Any:
    """Which buckets of 4-grams each text has: a boolean CSR matrix. Texts too short to compare have none."""
    from scipy.sparse import csr_array

    per_text: list[NDArray[np.int32]] = []
    for text in texts:
        if len(text) < SHORTEST:
            per_text.append(np.zeros(0, dtype=np.int32))
            continue
        codes = np.frombuffer(text.encode("utf-32-le", errors="replace"), dtype=np.uint32).astype(np.uint64)
        hashed = np.zeros(len(codes) - GRAM + 1, dtype=np.uint64)
        for place in range(GRAM):
            hashed = (hashed + codes[place : len(codes) - GRAM + 1 + place]) * np.uint64(0x9E3779B97F4A7C15)
            hashed ^= hashed >> np.uint64(29)
        per_text.append(np.unique((hashed >> np.uint64(20)).astype(np.int64) % BUCKETS).astype(np.int32))
    indptr = np.concatenate([[0], np.cumsum([len(buckets) for buckets in per_text])]).astype(np.int64)
    indices = np.concatenate(per_text) if per_text else np.zeros(0, dtype=np.int32)
    return csr_array((np.ones(len(indices), dtype=np.int32), indices, indptr), shape=(len(texts), BUCKETS))


def _rarest(grams_TG: Any) -> tuple[Indices, Indices]:
    """(text, bucket) pairs of each text's rarest buckets, as many as the prefix filter asks for, in text order."""
    sizes = np.diff(grams_TG.indptr)
    spread_G = np.bincount(grams_TG.indices, minlength=BUCKETS)
    prefix = np.minimum(sizes, sizes - np.ceil(NEAR * sizes - 1e-9).astype(np.int64) + SHARED)
    texts_R, buckets_R = [], []
    for begin, end in _pieces(sizes, CHUNK_GRAMS):
        buckets = grams_TG.indices[grams_TG.indptr[begin] : grams_TG.indptr[end]].astype(np.int64)
        text_of = np.repeat(np.arange(begin, end), sizes[begin:end])
        order = np.lexsort((spread_G[buckets] * BUCKETS + buckets, text_of))  # ties by bucket, alike in every text
        place = np.arange(len(order)) - np.repeat(grams_TG.indptr[begin:end] - grams_TG.indptr[begin], sizes[begin:end])
        chosen = order[place < prefix[text_of]]
        texts_R.append(text_of[chosen])
        buckets_R.append(buckets[chosen])
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *texts_R]), np.concatenate([nothing, *buckets_R])


def _candidates(text_R: Indices, bucket_R: Indices, texts: Sequence[str]) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of texts, left < right, that may be near, in pieces; a pair may come twice."""
    from scipy.sparse import csr_array

    _, bucket_R, posting_R = np.unique(bucket_R, return_inverse=True, return_counts=True)
    long = posting_R[bucket_R] > LONGEST_POSTING
    if long.any():
        yield from _neighbours(text_R[long], bucket_R[long], texts)
    text_R, bucket_R = text_R[~long], bucket_R[~long]
    ones = np.ones(len(text_R), dtype=np.int32)
    rare_TG = csr_array((ones, (text_R, bucket_R)), shape=(len(texts), max(1, len(posting_R))))
    rare_GT = rare_TG.T.tocsr()
    pairs_T = np.bincount(text_R, weights=posting_R[bucket_R], minlength=len(texts)).astype(np.int64)
    for begin, end in _pieces(pairs_T, CHUNK_PAIRS):
        shared = (rare_TG[begin:end] @ rare_GT).tocoo()
        left, right = shared.row.astype(np.int64) + begin, shared.col.astype(np.int64)
        enough = (shared.data >= SHARED) & (left < right)
        yield left[enough], right[enough]


def _neighbours(text_R: Indices, bucket_R: Indices, texts: Sequence[str]) -> Iterator[tuple[Indices, Indices]]:
    """Pairs at most `NEIGHBOURS` apart in the alphabetical order of the texts that share a bucket."""
    rank_T = np.empty(len(texts), dtype=np.int64)
    rank_T[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
    order = np.lexsort((rank_T[text_R], bucket_R))
    text_R, bucket_R = text_R[order], bucket_R[order]
    for apart in range(1, NEIGHBOURS + 1):
        same = bucket_R[apart:] == bucket_R[:-apart]
        one, other = text_R[:-apart][same], text_R[apart:][same]
        packed = np.unique(np.minimum(one, other) * len(texts) + np.maximum(one, other))
        yield packed // len(texts), packed % len(texts)


def _pieces(weights: Indices, most: int) -> Iterator[tuple[int, int]]:
    """Ranges covering `weights`, each of sum at most `most` or of one member."""
    total = np.concatenate([[0], np.cumsum(weights)])
    begin = 0
    while begin < len(weights):
        end = max(begin + 1, int(np.searchsorted(total, total[begin] + most, side="right")) - 1)
        yield begin, end
        begin = end


def _common(grams_TG: Any, left_P: Indices, right_P: Indices) -> Indices:
    """How many buckets both texts of each pair have."""
    common_P = np.zeros(len(left_P), dtype=np.int64)
    for begin, end in _pieces(np.diff(grams_TG.indptr)[left_P], CHUNK_GRAMS):
        both = grams_TG[left_P[begin:end]].multiply(grams_TG[right_P[begin:end]])
        common_P[begin:end] = both.sum(axis=1)
    return common_P
