"""A locked test set: what was set aside, and a record of every time it was read.

Beside `test.csv` stand `test.lock.json` (what its rows were when it was locked) and, from the first reading on,
`test.readings.jsonl` (one line a reading). A number chosen after looking is no longer a number on unseen rows: the
record is how a person, or a reviewer, can tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fewtune.data.base import Dataset, Example
from fewtune.data.files import written_whole
from fewtune.errors import StoreError, UnreadableFile

FORMAT = 1
NAMED = 10


def lock_path(test: str | Path) -> Path:
    """Where the lock of a test file stands."""
    test = Path(test)
    return test.with_name(f"{test.stem}.lock.json")


def readings_path(test: str | Path) -> Path:
    """Where its readings are recorded."""
    test = Path(test)
    return test.with_name(f"{test.stem}.readings.jsonl")


def lock(test: Dataset, *, about: Mapping[str, Any]) -> Path:
    """Lock the test file `test` was read from; `about` says where its rows are from. Raises StoreError."""
    path = lock_path(test.source)
    rows = [{"row": example.row, "id": example.id, **_digests(example)} for example in test]
    plain = {
        "format": FORMAT,
        "file": Path(test.source).name,
        "locked_at": _now(),
        "fingerprint": _fingerprint(test),
        **about,
        "rows": rows,
    }
    try:
        with written_whole(path) as file:
            file.write(json.dumps(plain, ensure_ascii=False, indent=1).encode("utf-8", "replace") + b"\n")
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror or error}). Name another folder.") from error
    return path


@dataclass(frozen=True)
class Reading:
    """One reading of a locked test file."""

    locked_at: str
    before: int
    """How many times it was read before this one."""
    changed: str = ""
    """What differs from the rows that were locked, in a sentence; empty when nothing does."""
    unrecorded: str = ""
    """Why this reading could not be recorded; empty when it was."""

    @property
    def sentence(self) -> str:
        """What a person should know."""
        if self.before:
            times = "once" if self.before == 1 else f"{self.before} times"
            said = (
                f"This locked test file was read {times} before: whatever was chosen after looking at it is no longer "
                "measured on unseen rows, and this score may be too good."
            )
        else:
            said = "This is the first reading of the locked test file."
        return " ".join(part for part in (said, self.changed, self.unrecorded) if part)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {"locked_at": self.locked_at, "before": self.before, "changed": self.changed or None}
        return plain | {"recorded": not self.unrecorded, "sentence": self.sentence}


def record(test: Dataset, *, purpose: str, command: str | None = None) -> Reading | None:
    """Record that a test file is read; None where it is not locked.

    Two processes reading at once are both recorded, and each counts the other or is counted by it.

    Parameters
    ----------
    purpose : what it is read for, in a few words.
    command : the command line, where there is one.

    Raises
    ------
    UnreadableFile : the lock itself is damaged.
    """
    plain = _lock_of(test.source)
    if plain is None:
        return None
    changed = _changes(test, plain)
    line: dict[str, Any] = {"at": _now(), "purpose": purpose, "command": command, "fingerprint": _fingerprint(test)}
    line |= {"changed": bool(changed)}
    try:
        before, unrecorded = _append(readings_path(test.source), line), ""
    except OSError as error:
        before = sum(1 for _ in readings(test.source))
        unrecorded = f"This reading could not be recorded ({error.strerror or error}): keep note of it yourself."
    return Reading(str(plain.get("locked_at", "")), before, changed, unrecorded)


def readings(test: str | Path) -> Iterator[dict[str, Any]]:
    """The readings recorded so far, in order; torn lines are passed over."""
    path = readings_path(test)
    with contextlib.suppress(OSError), path.open("rb") as file:
        for raw in file:
            with contextlib.suppress(ValueError):
                line = json.loads(raw)
                if isinstance(line, dict) and "at" in line:
                    yield line


def _lock_of(source: str) -> dict[str, Any] | None:
    path = lock_path(source)
    try:
        if not path.is_file():
            return None
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain["format"] != FORMAT or not all({"text", "label"} <= set(row) for row in plain["rows"]):
            raise ValueError("of another format")
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"The lock of the test file is damaged ({type(error).__name__})."
        remedy = "Restore it, or delete it to do without: readings are then no longer recorded."
        raise UnreadableFile(what, file=path, remedy=remedy) from error
    return dict(plain)


def _changes(test: Dataset, plain: Mapping[str, Any]) -> str:
    """What differs from the locked rows. Labels count only where they were read."""
    locked = plain["rows"]
    if len(test) != len(locked):
        return f"It is not the file that was locked: it has {len(test)} rows, not {len(locked)}."
    odd = []
    for example, row in zip(test, locked, strict=True):
        now = _digests(example)
        if now["text"] != row["text"] or (example.label is not None and now["label"] != row["label"]):
            odd.append(str(example.row))
    if not odd:
        return ""
    more = f" and {len(odd) - NAMED} more" if len(odd) > NAMED else ""
    return f"It is not the file that was locked: rows {', '.join(odd[:NAMED])}{more} have changed since."


def _digests(example: Example) -> dict[str, str]:
    return {name: _digest(value) for name, value in (("text", example.text), ("label", example.label or ""))}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _fingerprint(test: Dataset) -> str:
    rows = [list(_digests(example).values()) for example in test]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _append(path: Path, line: Mapping[str, Any]) -> int:
    """Add a line in one write, to disk at once; the number of lines that stood there before."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        _wait_for(descriptor)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read()
        before = sum(1 for raw in data.split(b"\n") if raw.strip())
        torn = b"" if not data or data.endswith(b"\n") else b"\n"
        os.write(descriptor, torn + json.dumps(line).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)  # which lets the next one in
    return before


def _wait_for(descriptor: int) -> None:
    """Until no other process is at it, where the system can say."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
