"""Frozen answers as plain arrays, to be carried to another process.

What one process has computed, no other need compute again, nor round differently: how texts are batched and how many
threads share a sum both move the last bits.

Legend: N texts, S rows of all texts together, D width.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder


@dataclass(frozen=True, eq=False)
class FrozenAnswers:
    """What an encoder has said of texts at one depth, end to end in one array that processes can share."""

    depth: int | None
    """Layers below the states; None for the pooled vectors, two a text."""
    texts: tuple[str, ...]
    lengths_N: NDArray[np.int64]
    values_SD: NDArray[np.float32] | NDArray[np.int16]
    """bfloat16, which NumPy has not, stands as the int16 of the same bits."""


def gather(encoder: Encoder, known: Mapping[int | None, Sequence[str]] | None = None) -> list[FrozenAnswers]:
    """Everything an encoder has said, one array a depth; depths whose texts equal those `known` are left out."""
    known = known or {}
    vectors, states = encoder.kept()
    found = []
    if vectors and tuple(vectors) != known.get(None):
        joined_SD = np.concatenate(list(vectors.values()))
        found.append(FrozenAnswers(None, tuple(vectors), np.full(len(vectors), 2), joined_SD))
    for depth, by_text in states.items():
        if by_text and tuple(by_text) != known.get(depth):
            lengths_N = np.array([len(state_TD) for state_TD in by_text.values()])
            found.append(FrozenAnswers(depth, tuple(by_text), lengths_N, _plain(list(by_text.values()))))
    return found


def adopt(encoder: Encoder, answers: Iterable[FrozenAnswers]) -> None:
    """Have an encoder of the same weights say what another has said. The arrays are read, never copied or changed."""
    for one in answers:
        ends_N = np.cumsum(one.lengths_N)
        parts = zip(one.texts, ends_N - one.lengths_N, ends_N, strict=True)
        if one.depth is None:
            encoder.keep({text: one.values_SD[start:end] for text, start, end in parts}, {})  # type: ignore[misc]
        else:
            joined_SD = _tensor(one.values_SD).to(encoder.device)
            encoder.keep({}, {one.depth: {text: joined_SD[start:end] for text, start, end in parts}})


def _plain(states: list[torch.Tensor]) -> NDArray[np.float32] | NDArray[np.int16]:
    joined_SD = torch.cat(states).cpu()
    plain = joined_SD.view(torch.int16) if joined_SD.dtype == torch.bfloat16 else joined_SD
    return np.asarray(plain.numpy())


def _tensor(values_SD: NDArray[np.float32] | NDArray[np.int16]) -> torch.Tensor:
    with warnings.catch_warnings():
        # Shared memory is read-only, and states of frozen layers are only ever read.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        joined_SD = torch.from_numpy(values_SD)
    return joined_SD.view(torch.bfloat16) if values_SD.dtype == np.int16 else joined_SD


__all__ = ["FrozenAnswers", "adopt", "gather"]
