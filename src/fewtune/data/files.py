"""Files written whole or not at all: beside, flushed to disk, then renamed. Everything that must not tear goes here."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: without locks a file being written looks like one left by a kill, so none is cleared
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of `path` at the end; on any error nothing of it stays.

    A file of this name keeps its permissions; a new one gets those the umask leaves. What killed writers of `path` left
    half written is cleared away. Raises OSError.
    """
    temporary, file = _begun(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()  # Windows renames no open file; elsewhere its lock holds until it has its name
            if path.exists():
                temporary.chmod(path.stat().st_mode & 0o777)
            temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    with contextlib.suppress(OSError):
        _clear_killed(path)
    _sync_folder(path.parent)


def _begun(path: Path) -> tuple[Path, IO[bytes]]:
    """A new file beside `path`, locked for as long as it is written."""
    while True:
        temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")
        file = temporary.open("xb")  # not mkstemp: its files are readable by their owner alone
        _lock(file)
        if temporary.exists():  # else it was taken for a killed writer's just before it was locked
            return temporary, file
        file.close()


def _lock(file: IO[bytes], wait: bool = True) -> bool:
    """Whether `file` is now ours until it is closed; never where there are no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # somebody else's, or a file system without locks
        return False
    return True


def _clear_killed(path: Path) -> None:
    """Delete what writers of `path` left that are no more: nobody holds its lock."""
    left = re.compile(re.escape(f".{path.name[:40]}.") + r"[0-9a-f]{16}\.tmp")
    for other in path.parent.iterdir():
        if left.fullmatch(other.name):
            with contextlib.suppress(OSError), other.open("rb") as file:
                if _lock(file, wait=False):
                    other.unlink()


def _sync_folder(folder: Path) -> None:
    """The new name survives a power cut too, where the system can promise that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
