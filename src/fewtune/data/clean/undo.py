"""The way back: a cleaned file and its log give the original texts, character for character."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fewtune.data.clean.log import Change, Header
from fewtune.errors import DataError, UnreadableFile

Rows = list[dict[str, Any]]
WHICH = "Give the cleaned file that lies beside the log, as `fewtune prepare` left it."


def undone(rows: Rows, header: Header, changes: Sequence[Change], *, file: str | Path) -> Rows:
    """The rows as they were before what was applied; those not touched are not looked at.

    Raises
    ------
    DataError
        The rows are not those the log was written with: another number of them, or a changed cell that has been
        changed since. Nothing is guessed.
    """
    applied = [change for change in changes if change.decision == "applied"]
    dropped = {change.place: dict(change.before) for change in applied if change.column is None}
    kept = [place for place in range(1, header.rows + 1) if place not in dropped]
    if len(kept) != len(rows):
        what = f"The file has {len(rows)} rows where the log speaks of {len(kept)}."
        raise DataError(what, file=file, remedy=WHICH)
    by_place = dropped | {place: dict(row) for place, row in zip(kept, rows, strict=True)}
    for change in reversed(applied):
        if change.column is None:
            continue
        row = by_place.get(change.place)
        if row is None or row.get(change.column) != change.after:
            what = f"Column {change.column!r} does not hold what was written there."
            raise DataError(what, file=file, row=change.row, remedy=WHICH)
        row[change.column] = change.before
    return [by_place[place] for place in range(1, header.rows + 1)]


def read_written(path: Path) -> Rows:
    """Read back what `write_table` wrote, exactly: no dialect is guessed, no row is left out.

    Raises
    ------
    UnreadableFile
        It is not such a file.
    """
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_json_lines, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UnreadableFile(f"Files ending in {path.suffix!r} were not written by prepare.", file=path, remedy=WHICH)
    try:
        return reader(path)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise UnreadableFile(f"The file cannot be read back ({reason}).", file=path, remedy=WHICH) from error


def _read_csv(path: Path) -> Rows:
    from fewtune.data.readers.csv import read_exactly

    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    names, *records = read_exactly(path.read_bytes().decode("utf-8"), delimiter)
    return [dict(zip(names, record, strict=True)) for record in records]


def _read_json_lines(path: Path) -> Rows:
    rows = [json.loads(line) for line in path.read_bytes().decode("utf-8").split("\n") if line]
    if not all(isinstance(row, Mapping) for row in rows):
        raise ValueError("a line is no object")
    return rows


def _read_parquet(path: Path) -> Rows:
    import pyarrow.parquet as pq

    rows: Rows = pq.read_table(path).to_pylist()  # pyarrow's errors are ValueErrors
    return rows
