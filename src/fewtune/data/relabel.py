"""A copy of a file in which some rows have another label: every row and column kept, in their order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewtune.data.files import written_whole
from fewtune.data.read import read_table
from fewtune.data.write import write_table
from fewtune.errors import StoreError, UsageError

KEPT = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
"""Formats a copy is written in; any other becomes CSV."""


def copy_suffix(source: str) -> str:
    """The ending a copy of `source` gets."""
    suffix = Path(source).suffix.lower()
    return {".ndjson": ".jsonl", ".tab": ".tsv", ".pq": ".parquet"}.get(suffix, suffix if suffix in KEPT else ".csv")


def write_relabelled(source: str, column: str, labels: Mapping[int, str], path: Path) -> Path:
    """Write a copy of `source` to `path`; the original is only read.

    JSON and Parquet keep the types of the other columns. Delimited text is written in UTF-8 with the delimiter that
    the ending of `path` asks for.

    Parameters
    ----------
    column : the label column.
    labels : row number, as datasets give it, → label.

    Raises
    ------
    UsageError : `path` is the source itself.
    StoreError : the copy cannot be written.
    """
    if Path(source).exists() and path.exists() and path.samefile(source):
        raise UsageError(f"{path} is the original, which is never written to. Name another folder with --out.")
    suffix = Path(source).suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _relabel_parquet(Path(source), column, labels, path)
    if suffix in (".jsonl", ".ndjson", ".json"):
        records = _records(Path(source))
        if records is not None:
            return _relabel_json(records, column, labels, path)
    table = read_table(source)
    columns = dict(table.columns)
    columns[column] = [labels.get(row, cell) for row, cell in zip(table.rows, columns[column], strict=True)]
    return write_table(path if path.suffix != ".json" else path.with_suffix(".csv"), columns)


def _records(path: Path) -> list[tuple[int, dict[str, Any]]] | None:
    """Row number and object of each row, where the file is an array of objects or one object a line."""
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    try:
        whole = json.loads(text)
        numbered = list(enumerate(whole, 1)) if isinstance(whole, list) else []
    except ValueError:
        lines = enumerate(text.split("\n"), 1)
        try:
            numbered = [(row, json.loads(line)) for row, line in lines if line.strip()]
        except ValueError:
            return None
    return numbered if numbered and all(isinstance(record, dict) for _, record in numbered) else None


def _relabel_json(
    records: list[tuple[int, dict[str, Any]]], column: str, labels: Mapping[int, str], path: Path
) -> Path:
    changed = [record | {column: labels[row]} if row in labels else record for row, record in records]
    if path.suffix == ".json":
        text = json.dumps(changed, ensure_ascii=False, indent=1) + "\n"
    else:
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in changed)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as file:
            file.write(text.encode("utf-8", errors="replace"))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}). Give another path.") from error
    return path


def _relabel_parquet(source: Path, column: str, labels: Mapping[int, str], path: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = read_table(source).columns[column]
    given = pq.read_table(source)
    place = [str(name).strip() for name in given.column_names].index(column)
    cells = [labels.get(row, cell) for row, cell in enumerate(names, 1)]
    # What `datasets` keeps beside codes would no longer hold: the column has names now.
    changed = given.set_column(place, given.column_names[place], pa.array(cells, pa.string()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as file:
            pq.write_table(changed.replace_schema_metadata(None), file)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}). Give another path.") from error
    return path
