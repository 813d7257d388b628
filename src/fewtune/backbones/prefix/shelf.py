"""The segments of one kind: what one backbone's layers, computed in one way, say about texts.

Nothing here can fail a command: what cannot be read is not found, what cannot be written is not kept. Processes need no
lock. Each writes segments of its own under names of its own and moves them in whole; a reader sees a segment or does
not; two that computed the same text kept it twice with the same bits.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import weakref
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewtune.backbones.prefix import limits
from fewtune.backbones.prefix.segment import SUFFIX, Damaged, Keys, Segment, as_keys, write

SMALL = 4 << 20
"""Segments below this many bytes are merged into one …"""
MANY = 32
"""… once there are so many of them."""

_open_shelves: weakref.WeakSet[Shelf] = weakref.WeakSet()


class Shelf:
    """The segments of a folder.

    Parameters
    ----------
    folder : where they lie; made when something is written.
    about : what a person wants to read of them; written into each.
    temporary : whether the folder is for this process alone: no limit, and no file is left in it.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], *, temporary: bool = False) -> None:
        self.folder, self.about, self.temporary = folder, about, temporary
        self._segments: dict[str, Segment] = {}
        self._used: set[str] = set()
        self._refused = False
        _open_shelves.add(self)

    @property
    def used_paths(self) -> set[Path]:
        """Files that gave something to this process or came from it."""
        return {self.folder / name for name in self._used}

    def known(self, keys: Collection[bytes]) -> set[bytes]:
        """Which keys have a record here."""
        return set(self._places(list(keys)))

    def read(self, keys: Collection[bytes]) -> dict[bytes, torch.Tensor]:
        """The records of those keys that are here and whole."""
        found = {}
        for key, (segment, place) in self._places(list(keys)).items():
            if segment.path.name in self._segments:
                with self._minding(segment):
                    found[key] = segment.read(place)
        return found

    def refresh(self) -> None:
        """Look for segments that others have written since."""
        if self.temporary:
            return
        try:
            names = {path.name for path in self.folder.iterdir()}
        except OSError:
            return
        for name in sorted(names - self._segments.keys()):
            if name.endswith(SUFFIX) and not name.startswith("."):
                self._take(name)

    def write(self, records: Mapping[bytes, torch.Tensor]) -> bool:
        """Keep records; whether that could be done."""
        if self._refused:
            return False
        try:
            self.refresh()
            known = self.known(records)  # another process may have been faster
            fresh = {key: value for key, value in records.items() if key not in known}
            return not fresh or self._write(fresh)
        except OSError:  # not to be tried again: a full disk would be filled up anew each time
            self._refused = True
            return False

    def _write(self, records: Mapping[bytes, torch.Tensor]) -> bool:
        merged = self._to_merge()
        for segment in merged:
            with self._minding(segment):
                records = {**segment.records(), **records}
        needed = sum(value.nbytes for value in records.values()) + 64 * len(records)
        if not self.temporary and not limits.make_room(self.folder.parent, needed, _in_use()):
            return False
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # states tell of the texts they were made from
        name = f"{secrets.token_hex(8)}{SUFFIX}"
        write(self.folder / name, records, self.about)
        self._take(name)
        if name not in self._segments:
            return False
        self._used.add(name)
        if self.temporary:  # while open it can be read, and it goes with the process
            (self.folder / name).unlink()
        for segment in merged:
            self._drop(segment, delete=True)
        return True

    def _to_merge(self) -> list[Segment]:
        small = [segment for segment in self._segments.values() if segment.bytes < SMALL]
        return small if len(small) >= MANY and not self.temporary else []

    def _take(self, name: str) -> None:
        path = self.folder / name
        try:
            self._segments[name] = Segment(path)
        except Damaged:
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError:  # taken away since it was listed, or not ours to read
            pass

    @contextlib.contextmanager
    def _minding(self, segment: Segment) -> Any:
        """What turns out to be damaged is deleted; what cannot be read is forgotten."""
        try:
            yield
        except Damaged:
            self._drop(segment, delete=True)
        except OSError:
            self._drop(segment, delete=False)

    def _drop(self, segment: Segment, *, delete: bool) -> None:
        self._segments.pop(segment.path.name, None)
        self._used.discard(segment.path.name)
        segment.close()
        if delete:
            with contextlib.suppress(OSError):
                segment.path.unlink()

    def _places(self, keys: list[bytes]) -> dict[bytes, tuple[Segment, int]]:
        found: dict[bytes, tuple[Segment, int]] = {}
        keys_N2: Keys = as_keys(keys)
        for name, segment in self._segments.items():
            if len(found) == len(keys):
                break
            places_N = segment.find(keys_N2)
            hits = np.flatnonzero(places_N >= 0).tolist()
            if hits and name not in self._used:
                self._used.add(name)
                with contextlib.suppress(OSError):  # what is used last goes last
                    os.utime(segment.path)
            found.update({keys[row]: (segment, int(places_N[row])) for row in hits})
        return found


def _in_use() -> set[Path]:
    return {path for shelf in _open_shelves for path in shelf.used_paths}
