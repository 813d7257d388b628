"""What a person has decided in reviews, kept the moment it is decided: an interrupted review goes on where it stood."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import IO

from fewtune.data.clean.log import Change
from fewtune.errors import StoreError, UsageError

DECISIONS = "decisions.jsonl"
BEGINNING = b'{"key": "'
"""Of every line; a kill may leave less of one."""


class Decisions:
    """`decisions.jsonl` of a folder: one line a decision, by the proposal's key; no text of any row is in it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / DECISIONS
        self.known = _read(self.path)
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Decisions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, change: Change, *, accepted: bool) -> None:
        """Keep a decision. Raises StoreError."""
        line = {"key": change.key, "row": change.row, "cleaner": change.cleaner, "accepted": accepted}
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab")
                if self._file.tell():
                    self._file.write(b"\n")  # a line torn by a kill must not swallow this one
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            what = f"{self.path}: cannot be written ({error.strerror or error}). Give another --out."
            raise StoreError(what) from error
        self.known[change.key] = accepted


def _read(path: Path) -> dict[str, bool]:
    """Decisions by key, the last one where there are several; damaged lines are passed over.

    Raises UsageError for a file of that name in which no line is a decision: none is added to somebody's file.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error}). Give another --out.") from error
    known: dict[str, bool] = {}
    for line in lines:
        try:
            value = json.loads(line)
            known[str(value["key"])] = value["accepted"] is True
        except (ValueError, KeyError, TypeError):
            continue
    if not known and any(line.strip() and not line.startswith(BEGINNING[: len(line)]) for line in lines):
        raise UsageError(
            f"{path} does not hold decisions of `fewtune prepare --review`, which are kept under this name. "
            "Move it away, or name another folder with --out."
        )
    return known
