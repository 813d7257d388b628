"""Parquet, through pyarrow; integer codes saved by `datasets` become the class names saved beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewtune.data.readers.base import Table, repeated_names, table_of_columns, unique_names
from fewtune.errors import UnreadableFile


def read_parquet(path: Path) -> Table:
    """Read every column of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            frame = pq.ParquetFile(file).read()  # `read_table` refuses two columns of one name
            given = [str(name) for name in frame.column_names]
            columns = {name: _python_values(frame.column(place)) for place, name in enumerate(unique_names(given))}
    except (pa.ArrowException, OSError, ValueError, NotImplementedError) as error:
        what = f"This is not a readable Parquet file ({str(error).splitlines()[0][:200]})."
        raise UnreadableFile(what, file=path, remedy="Write it again, or give the table as CSV.") from error
    for name, classes in _class_names(frame.schema.metadata).items():
        if name in columns:
            columns[name] = named(columns[name], classes)
    columns.pop("__index_level_0__", None)
    return table_of_columns(columns, path, notes=repeated_names(given))


def named(codes: Sequence[object], classes: Sequence[str]) -> list[object]:
    """Class names of integer codes; -1 is how `datasets` writes "no label"."""
    known = [(isinstance(code, int) and -1 <= code < len(classes)) or code is None for code in codes]
    if not all(known):
        return list(codes)
    return [classes[code] if isinstance(code, int) and code >= 0 else None for code in codes]


def _python_values(column: Any) -> list[object]:
    if "dictionary" in str(column.type):
        column = column.cast(column.type.value_type)
    values: list[object] = column.to_pylist()
    return values


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: kind["names"] for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
