"""The rows nearest to a row, exactly and in bounded memory.

Legend: Q rows asked about, R rows to choose from, D width of a vector, K neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.base import Ground, Vectors
from fewtune.data.base import Example

CHUNK = 4_000_000
"""Similarities held at once."""


@dataclass(frozen=True)
class Neighbour:
    """A row near to another."""

    index: int
    example: Example
    similarity: float
    """Cosine of their vectors."""


def nearest(
    asked_QD: Vectors,
    among_RD: Vectors,
    count: int,
    *,
    itself_Q: NDArray[np.int64] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """[Q, K] places in `among_RD` and cosines, the nearest first; K is `count` or as many as there are.

    Parameters
    ----------
    itself_Q : the place in `among_RD` that is the row itself, -1 where it is not there: no row is its own neighbour.
    """
    among = len(among_RD)
    count = max(0, min(count, among - (itself_Q is not None)))
    places_QK = np.zeros((len(asked_QD), count), dtype=np.int64)
    cosines_QK = np.zeros((len(asked_QD), count), dtype=np.float32)
    step = max(1, CHUNK // max(1, among))
    for begin in range(0, len(asked_QD) if count else 0, step):
        cosines_BR = asked_QD[begin : begin + step] @ among_RD.T
        if itself_Q is not None:
            own_B = itself_Q[begin : begin + step]
            inside = np.flatnonzero(own_B >= 0)
            cosines_BR[inside, own_B[inside]] = -np.inf
        kept_BK = np.argpartition(cosines_BR, among - count, axis=1)[:, among - count :]
        found_BK = np.take_along_axis(cosines_BR, kept_BK, axis=1)
        order_BK = np.argsort(-found_BK, axis=1, kind="stable")
        places_QK[begin : begin + step] = np.take_along_axis(kept_BK, order_BK, axis=1)
        cosines_QK[begin : begin + step] = np.take_along_axis(found_BK, order_BK, axis=1)
        tick()
    return places_QK, cosines_QK


def agreeing(ground: Ground, index: int, label: str | None, most: int = 3) -> tuple[Neighbour, ...]:
    """The training rows with `label` that are nearest to a row, its copies left out; none without vectors."""
    if label is None or not ground.has("vectors"):
        return ()
    vectors_ND = ground.vectors("train")
    clusters = ground.clusters
    rows = [
        row
        for row, example in enumerate(ground.train.examples)
        if example.label == label and clusters[row] != clusters[index]
    ]
    if not rows:
        return ()
    places_QK, cosines_QK = nearest(vectors_ND[index : index + 1], vectors_ND[rows], most)
    return tuple(
        Neighbour(rows[place], ground.train.examples[rows[place]], round(float(cosine), 4))
        for place, cosine in zip(places_QK[0].tolist(), cosines_QK[0].tolist(), strict=True)
    )
