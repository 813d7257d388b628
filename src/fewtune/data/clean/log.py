"""The change log of `fewtune prepare`: what was proposed for each row, what became of it, and the way back.

`changes.jsonl`: the first line says what was cleaned, each other line is one `Change`, in the order they were made.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from fewtune.data.files import written_whole
from fewtune.errors import StoreError, UnreadableFile

FORMAT = 1
Decision = Literal["applied", "rejected", "open"]
"""`open`: proposed, not decided; the row is as it was."""


@dataclass(frozen=True)
class Change:
    """One proposal for one row, and what became of it."""

    row: int
    """1-based number of the row in its file, as messages name it."""
    place: int
    """1-based place among the rows that were read: blank rows have a number, and no place."""
    id: str
    column: str | None
    """None where the whole row is dropped."""
    cleaner: str
    before: Any
    """The cell's text; of a dropped row, every cell by its column."""
    after: str | None
    reason: str
    decision: Decision = "open"

    @property
    def key(self) -> str:
        """The same for the same proposal, on every run: what a decision is kept under."""
        said = json.dumps([self.place, self.column, self.cleaner, self.before, self.after], default=str)
        return hashlib.sha256(said.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Header:
    """What the log is of."""

    source: str
    fingerprint: str
    """Of the texts and labels as they were read."""
    rows: int
    """Rows read; the cleaned file has as many, less those dropped."""
    text: str
    label: str | None
    file: str
    """Name of the cleaned file beside the log."""
    format: int = FORMAT


def write_log(path: Path, header: Header, changes: Iterable[Change]) -> None:
    """Write the log whole, or not at all. Raises StoreError."""
    try:
        with written_whole(path) as file:
            file.write(_line(dataclasses.asdict(header)) + b"\n")
            for change in changes:
                file.write(_line(vars(change)) + b"\n")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}). Give another --out.") from error


def read_log(path: Path) -> tuple[Header, list[Change]]:
    """Read a log. Raises UnreadableFile where it is none, with the line."""
    remedy = "Give the changes.jsonl that `fewtune prepare` wrote."
    try:
        lines = path.read_bytes().decode("utf-8").rstrip("\n").split("\n")
    except (OSError, ValueError) as error:
        what = f"The change log cannot be read ({getattr(error, 'strerror', None) or error})."
        raise UnreadableFile(what, file=path, remedy=remedy) from error
    header: Header | None = None
    changes: list[Change] = []
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
            if header is None:
                header = _checked(Header(**value))
            else:
                changes.append(_sound(Change(**value)))
        except (ValueError, TypeError, RecursionError) as error:
            raise UnreadableFile(f"Line {number} is not of a change log.", file=path, remedy=remedy) from error
    assert header is not None
    return header, changes


def _line(value: Mapping[str, Any]) -> bytes:
    """Readable letters; but halves of surrogate pairs, which no UTF-8 has, as escapes."""
    said = json.dumps(value, ensure_ascii=False, default=str)
    try:
        return said.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, ensure_ascii=True, default=str).encode("ascii")


def _checked(header: Header) -> Header:
    if header.format != FORMAT or type(header.rows) is not int or not isinstance(header.file, str):
        raise ValueError("another format")
    return header


def _sound(change: Change) -> Change:
    whole = change.column is None
    kinds: Sequence[bool] = (
        type(change.place) is int,
        type(change.row) is int,
        whole or isinstance(change.column, str),
        isinstance(change.before, dict if whole else str),
        whole or isinstance(change.after, str),
        change.decision in get_args(Decision),
    )
    if not all(kinds):
        raise ValueError("not a change")
    return change
