"""Rewordings: pairs of texts of nearly the same meaning that also share many of their words.

A pair's closeness is `MEANING` times the cosine of its embeddings plus the rest times the cosine of its 4-grams,
weighted by their rarity. Both are asked for: two people who ask the same thing in words of their own are what a test
set should hold, while a text translated to and fro, or put through a paraphraser, keeps rare words of its source.

How close is too close depends on the data: half of the questions that 77 kinds of bank customers ask have a
neighbour in meaning above .89, half of the sentences of film reviews none above .43. So the bar is `CLOSE`, or higher
where the rows of this file lie close to one another by nature: their median closeness to the `NTH` nearest other row
plus `SPREADS` times the spread below the median, on the arctanh scale. The third nearest, so that a file which holds a
rewording or two of every row does not take them for its nature. Where the numbers come from: LAB.md,
`benchmarks/audit/leaks.py` and `benchmarks/audit/reworded_groups.py`.

Legend: N texts, D width of a vector, B texts of a block, P pairs, G buckets of 4-grams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.near import BUCKETS, GRAM, Indices, grams_of

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

CLOSE = 0.7
MEANING = 0.6
SPREADS = 7.0
NTH = 3
LEAST_COSINE = 0.6
NEIGHBOURS = 16
"""Pairs of a text beyond its nearest by meaning are not looked at: they join nothing that the nearest do not."""
SAMPLE = 2000
BLOCK_CELLS = 16_000_000
"""Cells of a block of products: 64 MB of float32."""
CHUNK_PAIRS = 200_000


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts and how close they are."""

    left_P: Indices
    right_P: Indices
    closeness_P: Floats

    def __len__(self) -> int:
        return len(self.left_P)

    @staticmethod
    def none() -> Pairs:
        """No pair."""
        return Pairs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))


def closeness_bar(texts: Sequence[str], vectors_ND: Vectors, *, seed: int = 0) -> float:
    """From which closeness on two of these texts are taken for one, reworded.

    Parameters
    ----------
    texts : normalised and distinct: a copy says nothing of how close other rows lie.
    vectors_ND : their embeddings, of unit length.
    seed : draws the `SAMPLE` whose nearest are looked for, where there are more.
    """
    if len(texts) <= NTH:
        return CLOSE
    rows = np.arange(len(texts))
    if len(texts) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(len(texts), SAMPLE, replace=False))
    nearest_B = np.zeros(len(rows))
    grams_NG = weighted_grams(texts)
    for begin, end in _blocks(len(rows), len(texts)):
        cosine_BN = vectors_ND[rows[begin:end]] @ vectors_ND.T
        cosine_BN[np.arange(end - begin), rows[begin:end]] = -1
        few = min(5, len(texts) - 1)
        near_BK = np.argpartition(-cosine_BN, few - 1, axis=1)[:, :few]
        left_P, right_P = np.repeat(rows[begin:end], few), near_BK.ravel()
        cosine_P = np.take_along_axis(cosine_BN, near_BK, axis=1).ravel().astype(np.float64)
        closeness_P = _closeness(cosine_P, grams_NG, left_P, right_P)
        nearest_B[begin:end] = np.sort(closeness_P.reshape(-1, few), axis=1)[:, -NTH]
    scale_B = np.arctanh(np.clip(nearest_B, 0, 0.9999))
    middle = float(np.median(scale_B))
    spread = middle - float(np.quantile(scale_B, 0.16))
    return max(CLOSE, float(np.tanh(middle + SPREADS * spread)))


def reworded_pairs(
    texts: Sequence[str],
    vectors_ND: Vectors,
    *,
    at_least: float,
    border: int | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Pairs:
    """Pairs (left < right) of at least that closeness; with `border`, only across it.

    Memory stays bounded by `BLOCK_CELLS`; time grows with the square of the texts: 100,000 take about a minute on a
    core.
    """
    least_cosine = max(LEAST_COSINE, (at_least - (1 - MEANING)) / MEANING)
    grams_NG = weighted_grams(texts)
    found = []
    for left_P, right_P, cosine_P in _neighbours(vectors_ND, least_cosine, border, tick):
        closeness_P = _closeness(cosine_P, grams_NG, left_P, right_P)
        close = closeness_P >= at_least
        found.append((left_P[close], right_P[close], closeness_P[close]))
    if not found:
        return Pairs.none()
    left_P, right_P, closeness_P = (np.concatenate(part) for part in zip(*found, strict=True))
    return Pairs(left_P, right_P, closeness_P)


def weighted_grams(texts: Sequence[str]) -> Any:
    """[N, G] 4-grams weighted by rarity, rows of unit length: a CSR matrix."""
    from scipy.sparse import csr_array

    grams_NG = grams_of([f" {text} " for text in texts], shortest=GRAM)
    spread_G = np.bincount(grams_NG.indices, minlength=BUCKETS)
    weight_R = (np.log((1 + len(texts)) / (1 + spread_G[grams_NG.indices])) + 1).astype(np.float32)
    sizes = np.diff(grams_NG.indptr)
    rows_R = np.repeat(np.arange(len(texts)), sizes)
    length_N = np.sqrt(np.bincount(rows_R, weights=weight_R**2, minlength=len(texts))).astype(np.float32)
    data_R = weight_R / length_N[rows_R]
    return csr_array((data_R, grams_NG.indices, grams_NG.indptr), shape=grams_NG.shape)


def _closeness(cosine_P: Floats, grams_NG: Any, left_P: Indices, right_P: Indices) -> Floats:
    words_P = np.zeros(len(left_P))
    for begin in range(0, len(left_P), CHUNK_PAIRS):
        part = slice(begin, begin + CHUNK_PAIRS)
        words_P[part] = grams_NG[left_P[part]].multiply(grams_NG[right_P[part]]).sum(axis=1)
    return MEANING * cosine_P + (1 - MEANING) * words_P


def _neighbours(
    vectors_ND: Vectors, least: float, border: int | None, tick: Callable[[], None]
) -> Iterator[tuple[Indices, Indices, Floats]]:
    """Pairs (left < right) of at least that cosine, at most `NEIGHBOURS` a row of a block, a block at a time."""
    count = len(vectors_ND)
    if border is None:
        for begin, end in _blocks(count, count):
            tick()
            # What is before the block has met it already; a text is nearest to itself.
            left_P, right_P, cosine_P = _above(vectors_ND[begin:end], vectors_ND[begin:], least, NEIGHBOURS + 1)
            later = right_P > left_P
            yield left_P[later] + begin, right_P[later] + begin, cosine_P[later]
        return
    for begin, end in _blocks(count - border, border):
        tick()
        right_P, left_P, cosine_P = _above(
            vectors_ND[border + begin : border + end], vectors_ND[:border], least, NEIGHBOURS
        )
        yield left_P, right_P + border + begin, cosine_P


def _above(block_BD: Vectors, others_ND: Vectors, least: float, most: int) -> tuple[Indices, Indices, Floats]:
    """(row of the block, other, cosine) of at least `least`, of each row the `most` nearest."""
    cosine_BN = block_BD @ others_ND.T
    flat = np.flatnonzero(cosine_BN >= least)
    row_P, other_P = flat // cosine_BN.shape[1], flat % cosine_BN.shape[1]
    cosine_P = cosine_BN.ravel()[flat].astype(np.float64)
    if len(flat) and np.bincount(row_P).max() > most:
        order = np.lexsort((-cosine_P, row_P))
        rank = np.arange(len(order)) - np.searchsorted(row_P, row_P[order])
        kept = order[rank < most]
        row_P, other_P, cosine_P = row_P[kept], other_P[kept], cosine_P[kept]
    return row_P, other_P, cosine_P


def _blocks(rows: int, others: int) -> Iterator[tuple[int, int]]:
    step = max(1, BLOCK_CELLS // max(1, others))
    for begin in range(0, rows, step):
        yield begin, min(rows, begin + step)
