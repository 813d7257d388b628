"""Streams of random numbers, one a run, so that a run's noise is its own whoever shares its batch."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

GRAIN = 1 << 16
"""Dropout compares 16 random bits with a threshold: its rate is exact to 1/65536."""

NUMBERS_A_WORD = 4


@contextlib.contextmanager
def own_stream() -> Iterator[None]:
    """Within it, what is drawn from torch's stream leaves no trace outside; of several GPUs, on the one in use."""
    used = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if used else []):
        yield


class Noise:
    """A stream of random numbers for each run, so that a run's dropout is its own whoever shares the batch."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.streams = [_stream(seed) for seed in seeds]

    def begin(self, run: int, seed: int) -> None:
        """Start a run's stream from its beginning."""
        self.streams[run] = _stream(seed)

    def factors(self, run: int, share: float, like: torch.Tensor) -> torch.Tensor:
        """What to multiply `like` with: 0 with probability `share`, else what keeps the expected value."""
        count = like.numel()
        words = self.streams[run].bit_generator.random_raw(-(-count // NUMBERS_A_WORD))
        keep = words.view(np.uint16)[:count] < round((1 - share) * GRAIN)
        kept = keep * _bits(1 / (1 - share), like.dtype)  # the bits of the kept value where kept
        return torch.from_numpy(kept).view(like.dtype).view(like.shape).to(like.device)

    def state(self, run: int = 0) -> dict[str, Any]:
        """Where a run's stream stands, as plain values."""
        plain: dict[str, Any] = _plain(self.streams[run].bit_generator.state)
        return plain

    def load_state(self, state: dict[str, Any], run: int = 0) -> None:
        """Put back what `state` gave."""
        self.streams[run].bit_generator.state = _arrays(state)


@functools.cache
def _bits(value: float, dtype: torch.dtype) -> Any:
    """The bits of `value` in `dtype`, as a whole number of numpy's of the same size."""
    return (
        torch.tensor(value, dtype=dtype).view({2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]).numpy()
    )


def _stream(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64([seed, 0xD0]))


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return [int(number) for number in state] if isinstance(state, np.ndarray) else state


def _arrays(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _arrays(value) for key, value in state.items()}
    return np.asarray(state, dtype=np.uint64) if isinstance(state, list) else state
