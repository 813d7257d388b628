"""What a frozen backbone says about texts: in memory while there is room, in the cache folder, in a temporary file.

A value is computed when none of them has it. It is written to the cache folder; where that cannot be, it stays in
memory; where there is no room, it goes to a file without a name in the temporary folder; and where not even that can be
written, it stays in memory all the same.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fewtune.backbones.prefix.limits import Room, disk_limit, give_back
from fewtune.backbones.prefix.shelf import Shelf

Tokens = Sequence[int]
Block = tuple[Sequence[int], Sequence[torch.Tensor]]
"""Indices into the texts asked about, and [rows, D] for each."""
Compute = Callable[[Sequence[Tokens]], Iterator[Block]]
Told = Callable[[int], None]

SEGMENT_BYTES = 32 << 20
"""So much is gathered before it is written: what a kill can cost, and the size of a segment."""
WORTH_BYTES = 1 << 20
WORTH_SECONDS = 0.5
"""What was dearer than either is written at the end of a call, what was cheaper with more of its kind or at exit."""
AT_A_TIME = 256

_all: weakref.WeakSet[Answers] = weakref.WeakSet()


class Answers:
    """Values of one kind by key.

    Parameters
    ----------
    compute : yields the values of given token sequences, block by block.
    folder : of their segments; None where nothing can be kept.
    about : what a person wants to read of them.
    room : memory to keep values in.
    device : where values are wanted.
    """

    def __init__(
        self,
        compute: Compute,
        *,
        folder: Path | None,
        about: Mapping[str, Any],
        room: Room,
        device: torch.device | None = None,
    ) -> None:
        self.compute, self.room, self.device = compute, room, device or torch.device("cpu")
        self._shelves = [] if folder is None else [Shelf(folder, about)]
        self._about = about
        self._aside: Shelf | None = None
        self.memory: dict[bytes, torch.Tensor] = {}
        """What is held; never more than there is room for, unless nothing else can hold it."""
        self._pending: dict[bytes, torch.Tensor] = {}
        self._pending_bytes, self._pending_seconds = 0, 0.0
        self._taken = [0]
        weakref.finalize(self, give_back, room, self._taken)
        disk_limit()  # a limit that cannot be meant is said now and not where it is too late
        _all.add(self)

    def get(self, texts: Mapping[bytes, Tokens], told: Told | None = None) -> dict[bytes, torch.Tensor]:
        """The value of each text.

        Parameters
        ----------
        texts : tokens by key.
        told : called with how many texts have been done since it was called last.
        """
        found = {key: self.memory[key] for key in texts if key in self.memory}
        if len(found) < len(texts):
            found |= self._read([key for key in texts if key not in found])
        if told is not None and found:
            told(len(found))
        missing = {key: tokens for key, tokens in texts.items() if key not in found}
        if missing:
            self._compute(missing, told, found)
        return found

    def prepare(self, texts: Mapping[bytes, Tokens]) -> None:
        """Have every value computed and kept somewhere; none but those in memory is held."""
        keys = [key for key in texts if key not in self.memory]
        there: set[bytes] = set()
        for start in range(0, len(keys), AT_A_TIME):
            part = keys[start : start + AT_A_TIME]
            there |= set(self._read(part)) if self.room.left > 0 else self._known(part)
        missing = {key: texts[key] for key in keys if key not in there}
        if missing:
            self._compute(missing, None, None)

    def flush(self) -> None:
        """Write what has been gathered to the cache folder, or where else it can be kept."""
        if not self._pending:
            return
        pending, self._pending = self._pending, {}
        self._pending_bytes, self._pending_seconds = 0, 0.0
        if self._shelves and self._shelves[0].write(pending):
            return
        homeless = {key: value for key, value in pending.items() if key not in self.memory}
        if homeless and not self._write_aside(homeless):
            self.memory |= {key: value.to(self.device) for key, value in homeless.items()}

    def forget_pending(self) -> None:
        """In a forked child: what was gathered is the parent's to write."""
        self._pending = {}
        self._pending_bytes, self._pending_seconds = 0, 0.0

    def _write_aside(self, records: Mapping[bytes, torch.Tensor]) -> bool:
        if self._aside is None:
            try:
                folder = Path(tempfile.mkdtemp(prefix="fewtune-"))
            except OSError:
                return False
            self._aside = Shelf(folder, self._about, temporary=True)
            weakref.finalize(self, _remove, folder, os.getpid())
        return self._aside.write(records)

    @property
    def _places(self) -> list[Shelf]:
        return [*self._shelves, *([self._aside] if self._aside else [])]

    def _known(self, keys: Sequence[bytes]) -> set[bytes]:
        known = {key for key in keys if key in self._pending}
        for shelf in self._places:
            known |= shelf.known(keys)
            if not known.issuperset(keys):
                shelf.refresh()
                known |= shelf.known(keys)
        return known

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, torch.Tensor]:
        """What of `keys` is kept outside of memory; it is in memory afterwards where there is room."""
        found = {key: self._pending[key] for key in keys if key in self._pending}
        for shelf in self._places:
            for again in (False, True):
                rest = [key for key in keys if key not in found]
                if not rest:
                    break
                if again:
                    shelf.refresh()
                found |= shelf.read(rest)
        found = {key: value.to(self.device) for key, value in found.items()}
        for key, value in found.items():
            self._hold(key, value)
        return found

    def _hold(self, key: bytes, value: torch.Tensor) -> bool:
        if key not in self.memory and self.room.take(value.nbytes):
            self._taken[0] += value.nbytes
            self.memory[key] = value
        return key in self.memory

    def _compute(
        self, texts: Mapping[bytes, Tokens], told: Told | None, found: dict[bytes, torch.Tensor] | None
    ) -> None:
        keys, homeless = list(texts), False
        started = time.perf_counter()
        for rows, values in self.compute([texts[key] for key in keys]):
            for row, value in zip(rows, values, strict=True):
                homeless |= not self._hold(keys[row], value)
                if found is not None:
                    found[keys[row]] = value
                self._pending[keys[row]] = value.cpu()
                self._pending_bytes += value.nbytes
            self._pending_seconds += time.perf_counter() - started
            if self._pending_bytes >= SEGMENT_BYTES:
                self.flush()
            if told is not None:
                told(len(rows))
            started = time.perf_counter()
        if homeless or self._pending_bytes >= WORTH_BYTES or self._pending_seconds >= WORTH_SECONDS:
            self.flush()


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _flush_all() -> None:
    for answers in list(_all):
        answers.flush()


def _forget_pending() -> None:
    for answers in list(_all):
        answers.forget_pending()


atexit.register(_flush_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pending)
