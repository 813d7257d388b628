"""How much the prefix cache may hold, on disk and in memory, and what goes first when it is full."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fewtune.data.files import written_whole
from fewtune.errors import UsageError

if TYPE_CHECKING:
    import torch

DISK = "FEWTUNE_CACHE_LIMIT"
MEMORY = "FEWTUNE_CACHE_MEMORY"
DEFAULT_LIMIT = 4 << 30
MEMORY_SHARE = 8
"""Of the machine's memory, one part in so many is used for frozen states."""
LEAST_FREE = 1 << 30
"""Nothing is written where less than this would be left: a cache must not be what fills a disk."""
ORPHANED = 3600.0
"""Seconds after which a file half written is taken to be what a killed process left."""
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True)
class File:
    """A file of the cache."""

    path: Path
    bytes: int
    used: float
    """When it was last used, in seconds since 1970."""


def prefix_folder() -> Path | None:
    """Where segments lie; None where this machine has no place for them."""
    from fewtune.backbones.precision import cache_folder

    try:
        return cache_folder() / "prefix"
    except RuntimeError:  # no home directory
        return None


def parse_size(text: str) -> int:
    """Bytes from `500MB`, `2 GB`, `1.5g` or `0`; a unit is a power of 1,024.

    Raises
    ------
    UsageError : it is no size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    if found is None:
        raise UsageError(f"{text!r} is no size. Give one like 500MB or 2GB, or 0 to keep nothing on disk.")
    return int(float(found[1]) * _UNITS[found[2]])


def shown(count: int) -> str:
    """Bytes as a person reads them."""
    if count < 1024:
        return f"{count} bytes"
    power = min((count.bit_length() - 1) // 10, 4)
    return f"{count / 1024**power:.1f} {'KMGT'[power - 1]}B"


def disk_limit() -> int:
    """Bytes that segments may take: `FEWTUNE_CACHE_LIMIT`, else what `fewtune cache limit` set, else 4 GB."""
    stated = os.environ.get(DISK, "").strip()
    if stated:
        return parse_size(stated)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RuntimeError):
        kept = json.loads(_settings().read_text())["limit"]
        if isinstance(kept, int) and not isinstance(kept, bool) and kept >= 0:
            return kept
    return DEFAULT_LIMIT


def set_disk_limit(count: int) -> None:
    """Keep a limit for every later command, and hold to it at once. Raises OSError."""
    _settings().parent.mkdir(parents=True, exist_ok=True)
    with written_whole(_settings()) as file:
        file.write(json.dumps({"limit": count}).encode())
    folder = prefix_folder()
    if folder is not None:
        shrink(folder, disk_limit())


def _settings() -> Path:
    from fewtune.backbones.precision import cache_folder

    return cache_folder() / "cache.json"


class Room:
    """Bytes of memory that all cached values of this process share.

    First come, first kept: an epoch asks for every text in turn, so throwing out the one not used for longest would
    throw out the one needed next.
    """

    def __init__(self, limit: int) -> None:
        self.left = limit

    def take(self, count: int) -> bool:
        """Whether there was room for `count` bytes, which are now taken."""
        if count > self.left:
            return False
        self.left -= count
        return True

    def give_back(self, count: int) -> None:
        """Bytes that are no longer held."""
        self.left += count


def give_back(room: Room, taken: list[int]) -> None:
    """What to call when whoever took `taken[0]` bytes is gone."""
    room.give_back(taken[0])


def shared_room(device: torch.device) -> Room:
    """The room on a device: `FEWTUNE_CACHE_MEMORY`, else an eighth of its memory."""
    stated = os.environ.get(MEMORY, "").strip()
    return _room(device, parse_size(stated) if stated else _memory(device) // MEMORY_SHARE)


@functools.cache
def _room(_device: torch.device, limit: int) -> Room:
    return Room(limit)


@functools.cache
def _memory(device: torch.device) -> int:
    if device.type != "cuda":
        return machine_memory()
    import torch

    return int(torch.cuda.get_device_properties(device).total_memory)


def machine_memory() -> int:
    """Bytes this process may use: the machine's, or its container's where that is less."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        total = 4 << 30
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def files(folder: Path) -> Iterator[File]:
    """Every file under the cache folder, whole or half written."""
    for kind in _listed(folder):
        for path in _listed(kind):
            with contextlib.suppress(OSError):
                found = path.stat()
                yield File(path, found.st_size, found.st_mtime)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def make_room(folder: Path, needed: int, spare: Collection[Path] = ()) -> bool:
    """Whether `needed` more bytes may be written, after deleting what was used longest ago.

    Parameters
    ----------
    spare : files in use here: they would be computed again.
    """
    limit = disk_limit()
    if needed > limit or not shrink(folder, limit - needed, spare):
        return False
    place = next(part for part in (folder, *folder.parents) if part.exists())
    return shutil.disk_usage(place).free - needed >= LEAST_FREE


def shrink(folder: Path, most: int, spare: Collection[Path] = ()) -> bool:
    """Delete what was used longest ago until at most `most` bytes are left; whether that could be done."""
    kept = []
    for file in files(folder):
        orphan = file.path.suffix == ".tmp" and time.time() - file.used > ORPHANED
        if not (orphan and _delete(file.path)):
            kept.append(file)
    total = sum(file.bytes for file in kept)
    for file in sorted(kept, key=lambda file: file.used):
        if total <= most:
            break
        if file.path not in spare and file.path.suffix != ".tmp" and _delete(file.path):
            total -= file.bytes
    return total <= most


def clear(folder: Path) -> tuple[int, int]:
    """Delete everything; how many files and bytes went."""
    gone = [file for file in files(folder) if _delete(file.path)]
    for kind in _listed(folder):
        with contextlib.suppress(OSError):
            kind.rmdir()
    return len(gone), sum(file.bytes for file in gone)


def _delete(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
