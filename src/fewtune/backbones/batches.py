"""Batches of like length, so that little of the arithmetic is spent on padding.

Legend: B texts, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray


def by_length(lengths: Sequence[int], *, token_budget: int) -> Iterator[NDArray[np.int64]]:
    """Indices in batches of ascending length; a batch holds at most `token_budget` tokens, padding included."""
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        full = end == len(order) or lengths[order[end]] * (end + 1 - start) > token_budget
        if full:
            yield order[start:end]
            start = end


def of_one_length(lengths: Sequence[int], *, token_budget: int) -> Iterator[list[int]]:
    """Indices in batches of one exact length, ascending, of at most `token_budget` tokens or one row."""
    alike: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        alike.setdefault(length, []).append(row)
    for length in sorted(alike):
        most = max(1, token_budget // max(1, length))
        rows = alike[length]
        yield from (rows[start : start + most] for start in range(0, len(rows), most))


def in_order(rows: Sequence[int], lengths: Sequence[int], *, token_budget: int) -> Iterator[list[int]]:
    """`rows` as they come, in batches of at most `token_budget` tokens or of one row."""
    batch: list[int] = []
    tokens = 0
    for row in rows:
        if batch and tokens + lengths[row] > token_budget:
            yield batch
            batch, tokens = [], 0
        batch.append(row)
        tokens += lengths[row]
    if batch:
        yield batch


def pad_tokens(tokens: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, T] token ids padded on the right, and the [B, T] mask of real tokens."""
    ids_BT = torch.full((len(tokens), max(map(len, tokens))), pad_id, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for row, sequence in enumerate(tokens):
        ids_BT[row, : len(sequence)] = torch.tensor(sequence, dtype=torch.long)
        mask_BT[row, : len(sequence)] = 1
    return ids_BT, mask_BT
