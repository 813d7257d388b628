"""Passes over rows, cut into batches: the order in which every tuned method meets what it learns from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fewtune.methods.base import IntArray


def shuffled(count: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """All of `count` rows in another order each time, without end."""
    while True:
        yield rng.permutation(count)


def in_batches(passes: Iterator[IntArray], *, size: int, count: int, steps: int) -> Iterator[IntArray]:
    """`steps` batches of `size` rows (of `count`, where there are fewer); a batch may reach into the next pass."""
    queue = np.zeros(0, dtype=np.int64)
    for _ in range(steps):
        while len(queue) < min(size, count):
            queue = np.concatenate([queue, next(passes)])
        yield queue[:size]
        queue = queue[size:]
