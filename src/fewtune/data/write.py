"""Write tables whole or not at all: to a file beside, flushed to disk, then renamed."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from fewtune.data.files import written_whole
from fewtune.errors import StoreError, UsageError

Columns = Mapping[str, Sequence[object]]


def write_table(path: str | Path, columns: Columns) -> Path:
    """Write columns of equal length as CSV or TSV (UTF-8), JSON lines or Parquet, by the ending of `path`.

    Folders on the way are made. A file of this name is replaced only once the new one is on disk.

    Raises
    ------
    UsageError
        The ending names no format, or the columns differ in length.
    StoreError
        The file cannot be written: disk full, no permission, a folder of this name.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise UsageError(f"{path}: cannot tell the format from the name. End it in one of: {', '.join(WRITERS)}.")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"{path}: columns differ in length: {lengths}.")
    return write_file(path, lambda file: writer(file, columns))


def write_file(path: Path, write: Callable[[IO[bytes]], None]) -> Path:
    """Have `write` fill a file that takes the place of `path` at the end. Raises StoreError where it cannot be."""
    try:
        _replace(path, write)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}). {_remedy(error)}") from error
    return path


def _replace(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        write(file)


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full: free some space or give a path on another disk."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Give a path you may write to."
    return "Give another path."


class _Lines:
    r"""Ends each row with `\n`. The writer is told `\r\n`, for it quotes a carriage return in a cell only then."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def write(self, row: str) -> int:
        """One row, as csv hands it over."""
        return self.file.write(row.removesuffix("\r\n") + "\n")


def _write_csv(file: IO[bytes], columns: Columns, delimiter: str = ",") -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
    writer = csv.writer(_Lines(text), delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(zip(*(map(_plain, values) for values in columns.values()), strict=True))
    text.flush()
    text.detach()


def _write_tsv(file: IO[bytes], columns: Columns) -> None:
    _write_csv(file, columns, delimiter="\t")


def _write_json_lines(file: IO[bytes], columns: Columns) -> None:
    for row in zip(*(map(_plain, values) for values in columns.values()), strict=True):
        record = dict(zip(columns, row, strict=True))
        try:
            line = json.dumps(record, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:  # half a surrogate pair: JSON can hold it as an escape
            line = json.dumps(record).encode("ascii")
        file.write(line + b"\n")


def _write_parquet(file: IO[bytes], columns: Columns) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: pa.array([_plain(value) for value in values]) for name, values in columns.items()}
    for name, array in arrays.items():
        if not _holds(array.type):
            texts = [None if value is None else json.dumps(value, default=str) for value in array.to_pylist()]
            arrays[name] = pa.array(texts, pa.string())
    pq.write_table(pa.table(arrays), file)


def _holds(kind: Any) -> bool:
    """Whether Parquet holds values of an Arrow type: it has no place for a record without a field, at any depth."""
    import pyarrow as pa

    if pa.types.is_struct(kind) and kind.num_fields == 0:
        return False
    return all(_holds(kind.field(place).type) for place in range(kind.num_fields))


def _plain(value: object) -> object:
    """A NumPy scalar as Python's own."""
    if isinstance(value, str) or value is None:
        return value
    return value.item() if hasattr(value, "item") else value


WRITERS: dict[str, Callable[[IO[bytes], Columns], None]] = {
    ".csv": _write_csv,
    ".tsv": _write_tsv,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
}
