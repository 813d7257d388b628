"""Near copies by spelling: pairs of texts that share most of their character 4-grams, or differ by a typo or two.

Two normalised texts are near when

- at least `NEAR` of their 4-grams are shared (Jaccard), both `SHORTEST` characters or longer; or
- one becomes the other by one edit (a character put in, left out, changed, or two swapped), and one more for every
  `CHARACTERS_AN_EDIT` characters of the shorter; both `SHORTEST_TYPO` characters or longer, with the same digits in
  the same order: another number is another thing, not a typo.

Found without comparing all pairs: two sets of which one lacks at most c members of the other share s of the c + s
rarest members of each (the prefix filter of Chaudhuri, Ganti & Kaushik 2006, ICDE, asked for s), so only texts with
rare 4-grams in common are compared. For the Jaccard rule c is (1 - NEAR)·n; an edit destroys `GRAMS_AN_EDIT` 4-grams at
most. That misses no pair but for this: a rare 4-gram in more than `LONGEST_POSTING` texts counts only between
neighbours in alphabetical order, so that time and memory stay bounded for 100,000 letters made from one template.

MinHash with banding (datasketch) was measured against it and loses pairs at no gain in time: see LAB.md and
`benchmarks/audit/near_copies.py`.

Axes: T texts, G buckets of 4-grams, P candidate pairs, R (text, bucket) entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

NEAR = 0.8
SHORTEST = 20
SHORTEST_TYPO = 12
CHARACTERS_AN_EDIT = 40
GRAM = 4
GRAMS_AN_EDIT = 5
"""Two swapped characters stand in five 4-grams; any other edit in four."""
BUCKETS = 1 << 22
"""4-grams are hashed to this many numbers; two of a text in one are rare enough not to move a similarity."""
LONGEST_POSTING = 400
NEIGHBOURS = 20
SHARED = 5
CHUNK_PAIRS = 4_000_000
CHUNK_GRAMS = 2_000_000


def near_pairs(
    texts: Sequence[str], *, border: int | None = None
) -> Iterator[tuple[Indices, Indices, NDArray[np.float64]]]:
    """Pairs (left < right) of near copies and the share of 4-grams in common, in pieces; a pair may come twice.

    Parameters
    ----------
    texts : normalised.
    border : only pairs of a text before it and one from it on; None for all pairs.
    """
    grams_TG = grams_of(texts, shortest=SHORTEST_TYPO)
    sizes = np.diff(grams_TG.indptr)
    lengths = np.asarray([len(text) for text in texts], dtype=np.int64)
    edits_T = np.where(lengths >= SHORTEST_TYPO, 1 + lengths // CHARACTERS_AN_EDIT, 0)
    lacking_T = np.maximum(sizes - np.ceil(NEAR * sizes - 1e-9).astype(np.int64), GRAMS_AN_EDIT * edits_T)
    shared_T = np.clip(sizes - lacking_T, 1, SHARED)
    for left_P, right_P in _candidates(*_rarest(grams_TG, lacking_T + shared_T), shared_T, texts):
        keep = np.maximum(sizes[left_P], sizes[right_P]) - np.minimum(sizes[left_P], sizes[right_P]) <= np.minimum(
            lacking_T[left_P], lacking_T[right_P]
        )
        if border is not None:
            keep &= (left_P < border) & (right_P >= border)
        left_P, right_P = left_P[keep], right_P[keep]
        common_P = _common(grams_TG, left_P, right_P)
        similarity_P = common_P / np.maximum(sizes[left_P] + sizes[right_P] - common_P, 1)
        near = (similarity_P >= NEAR) & (np.minimum(lengths[left_P], lengths[right_P]) >= SHORTEST)
        maybe = np.flatnonzero(
            ~near & (common_P >= np.maximum((sizes - lacking_T)[left_P], (sizes - lacking_T)[right_P]))
        )
        most = np.minimum(edits_T[left_P], edits_T[right_P])
        near[maybe] = _typos(texts, left_P[maybe], right_P[maybe], most[maybe])
        yield left_P[near], right_P[near], similarity_P[near]


def _typos(texts: Sequence[str], left_P: Indices, right_P: Indices, most_P: Indices) -> NDArray[np.bool_]:
    """Which pairs are at most so many edits apart, numbers alike."""
    from rapidfuzz.distance import OSA

    found = np.zeros(len(left_P), dtype=bool)
    for pair, (left, right, most) in enumerate(zip(left_P.tolist(), right_P.tolist(), most_P.tolist(), strict=True)):
        one, other = texts[left], texts[right]
        found[pair] = OSA.distance(one, other, score_cutoff=most) <= most and _digits(one) == _digits(other)
    return found


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdecimal())


def grams_of(texts: Sequence[str], *, shortest: int) -> Any:
    """Which buckets of 4-grams each text has: a boolean CSR matrix. Shorter texts than `shortest` have none."""
    from scipy.sparse import csr_array

    per_text: list[NDArray[np.int32]] = []
    for text in texts:
        if len(text) < max(GRAM, shortest):
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


def _rarest(grams_TG: Any, prefix_T: Indices) -> tuple[Indices, Indices]:
    """(text, bucket) pairs of each text's rarest buckets, as many as the prefix filter asks for, in text order."""
    sizes = np.diff(grams_TG.indptr)
    spread_G = np.bincount(grams_TG.indices, minlength=BUCKETS)
    texts_R, buckets_R = [], []
    for begin, end in pieces(sizes, CHUNK_GRAMS):
        buckets = grams_TG.indices[grams_TG.indptr[begin] : grams_TG.indptr[end]].astype(np.int64)
        text_of = np.repeat(np.arange(begin, end), sizes[begin:end])
        order = np.lexsort((spread_G[buckets] * BUCKETS + buckets, text_of))  # ties by bucket, alike in every text
        place = np.arange(len(order)) - np.repeat(grams_TG.indptr[begin:end] - grams_TG.indptr[begin], sizes[begin:end])
        chosen = order[place < prefix_T[text_of]]
        texts_R.append(text_of[chosen])
        buckets_R.append(buckets[chosen])
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *texts_R]), np.concatenate([nothing, *buckets_R])


def _candidates(
    text_R: Indices, bucket_R: Indices, shared_T: Indices, texts: Sequence[str]
) -> Iterator[tuple[Indices, Indices]]:
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
    for begin, end in pieces(pairs_T, CHUNK_PAIRS):
        shared = (rare_TG[begin:end] @ rare_GT).tocoo()
        left, right = shared.row.astype(np.int64) + begin, shared.col.astype(np.int64)
        enough = (shared.data >= np.minimum(shared_T[left], shared_T[right])) & (left < right)
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


def pieces(weights: Indices, most: int) -> Iterator[tuple[int, int]]:
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
    for begin, end in pieces(np.diff(grams_TG.indptr)[left_P], CHUNK_GRAMS):
        both = grams_TG[left_P[begin:end]].multiply(grams_TG[right_P[begin:end]])
        common_P[begin:end] = both.sum(axis=1)
    return common_P
