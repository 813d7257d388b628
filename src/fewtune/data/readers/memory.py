"""What a notebook holds: a pandas frame, a `datasets.Dataset`, pairs, mappings, two lists, or texts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fewtune.data.readers.base import Table, repeated_names, table_of_columns, table_of_records, unique_names
from fewtune.data.readers.hub import table_of_dataset
from fewtune.errors import DataError

FORMS = (
    "Give a path, a pandas frame, a datasets.Dataset, a list of (text, label) pairs or of dicts, or (texts, labels)."
)


def read_memory(source: object) -> Table:
    """Read an object. A tuple of two lists is (texts, labels); a list of pairs is one (text, label) a row."""
    if _is_a(source, "pandas", "DataFrame"):
        return _table_of_frame(source)
    if _is_a(source, "datasets", "Dataset"):
        return table_of_dataset(source, "memory")
    if isinstance(source, Mapping):
        return _table_of_mapping(source)
    if isinstance(source, tuple) and len(source) == 2 and all(_is_column(part) for part in source):
        return _equal_columns({"text": _values(source[0]), "label": _values(source[1])})
    if _is_column(source):
        return _table_of_rows(_values(source))
    raise DataError(f"A {type(source).__name__} cannot be read as rows.", remedy=FORMS)


def _is_a(source: object, module: str, name: str) -> bool:
    """Whether `source` is an instance of `module.name`, without importing the module: if it is, it is imported."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(source, kind)


def _is_column(part: object) -> bool:
    sequence = isinstance(part, Sequence) and not isinstance(part, (str, bytes, bytearray))
    return sequence or (hasattr(part, "tolist") and getattr(part, "ndim", 1) in (1, 2))


def _values(part: Any) -> list[Any]:
    return list(part.tolist() if hasattr(part, "tolist") else part)


def _table_of_frame(frame: Any) -> Table:
    given = [str(name) for name in frame.columns]
    columns = {name: frame.iloc[:, place].tolist() for place, name in enumerate(unique_names(given))}
    return table_of_columns(columns, "memory", notes=repeated_names(given))


def _table_of_mapping(source: Mapping[Any, Any]) -> Table:
    if _is_a(source, "datasets", "DatasetDict"):
        splits = ", ".join(map(str, source))
        raise DataError(f"This holds several splits: {splits}.", remedy="Give one of them: dataset['train'].")
    if not source or not all(_is_column(part) for part in source.values()):
        raise DataError("A mapping whose values are not all columns cannot be read as rows.", remedy=FORMS)
    return _equal_columns({str(name): _values(part) for name, part in source.items()})


def _equal_columns(columns: dict[str, list[Any]]) -> Table:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"The columns have different lengths: {said}.", remedy="Give one label a text.")
    return table_of_columns(columns, "memory")


def _table_of_rows(rows: list[Any]) -> Table:
    if rows and all(isinstance(row, Mapping) for row in rows):
        return table_of_records([{str(key): value for key, value in row.items()} for row in rows], "memory")
    if all(isinstance(row, str) or row is None for row in rows):
        return table_of_columns({"text": rows}, "memory")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, (tuple, list)) or len(row) != 2:
            what = f"{type(row).__name__} where a (text, label) pair should be."
            raise DataError(what, row=number, remedy=FORMS)
    return table_of_columns({"text": [row[0] for row in rows], "label": [row[1] for row in rows]}, "memory")
