"""JSON in the shapes people have (an array of objects, columns, pandas' own) and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fewtune.data.readers.base import Table, table_of_columns, table_of_records
from fewtune.data.readers.encoding import decode, read_bytes
from fewtune.errors import EmptyData, UnreadableFile

SHAPES = 'Give an array of objects [{"text": …, "label": …}, …], or one such object a line.'


def read_json(path: Path) -> Table:
    """Read JSON or JSON lines, whichever the file holds, whatever it is called."""
    text, notes = decode(read_bytes(path), path)
    try:
        value = _load(text)
    except ValueError as error:
        return _read_lines(text, path, notes, error)
    return table_of_json(value, path, notes)


def _load(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object. Raises ValueError for a key it has twice: which of the two is meant nobody knows."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


def _read_lines(text: str, path: Path, notes: list[str], whole: ValueError) -> Table:
    """One object a line; the error of the whole stands when the first line alone is no object either."""
    lines = [(row, line) for row, line in enumerate(text.split("\n"), start=1) if line.strip()]
    records: list[Mapping[str, object]] = []
    for row, line in lines:
        try:
            record = _load(line)
        except ValueError as error:
            if not records and path.suffix.lower() not in (".jsonl", ".ndjson"):
                raise UnreadableFile(f"This is not JSON: {whole}.", file=path, remedy=SHAPES) from error
            remedy = "Mend or delete this line; each line is one object."
            raise UnreadableFile(f"This line is not JSON: {error}.", file=path, row=row, remedy=remedy) from error
        records.append(_record(record, row, path))
    return table_of_records(records, path, rows=[row for row, _ in lines], notes=[*notes, "Format: JSON lines."])


def _record(value: object, row: int, path: Path) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and len(value) == 2:
        return dict(zip(("text", "label"), value, strict=True))
    if isinstance(value, str):
        return {"text": value}
    raise UnreadableFile(f"{_kind(value)} where an object should be.", file=path, row=row, remedy=SHAPES)


def table_of_json(value: object, path: Path, notes: list[str]) -> Table:
    """A table from any of the shapes a whole JSON file has."""
    if isinstance(value, list):
        if not value:
            raise EmptyData("The file holds an empty array.", file=path, remedy=SHAPES)
        return table_of_records([_record(item, row, path) for row, item in enumerate(value, 1)], path, notes=notes)
    if not isinstance(value, dict):
        raise UnreadableFile(f"The file holds {_kind(value)}, not rows.", file=path, remedy=SHAPES)
    from fewtune.data.formats.registry import recognised

    if recognised([value], strict=True):  # one line of JSON lines
        return table_of_records([value], path, notes=notes)
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return table_of_json(_split_orientation(value["columns"], value["data"], path), path, notes)
    if value and all(isinstance(cells, dict) for cells in value.values()):  # pandas: {"text": {"0": …}}
        return _indexed(value, path, notes)
    lists = {name: cells for name, cells in value.items() if isinstance(cells, list)}
    rows = [name for name, cells in lists.items() if cells and all(isinstance(cell, dict) for cell in cells)]
    if len(rows) > 1 and all({"role", "content"} <= set(turn) for name in rows for turn in value[name]):
        return table_of_records([value], path, notes=notes)  # one line of a prompt and its answers as messages
    if len(rows) > 1:
        what = f"The file holds several lists of rows: {', '.join(rows)}."
        raise UnreadableFile(what, file=path, remedy="Save the one you want as a file of its own.")
    if rows:
        return table_of_json(lists[rows[0]], path, notes)
    if lists and len(lists) == len(value):
        return _columns(lists, path, notes)
    if value and not lists and not any(isinstance(cell, dict) for cell in value.values()):
        return table_of_records([value], path, notes=notes)
    raise UnreadableFile("The file holds an object that is neither rows nor columns.", file=path, remedy=SHAPES)


def _split_orientation(names: Sequence[object], data: Sequence[object], path: Path) -> list[dict[str, object]]:
    for row, cells in enumerate(data, start=1):
        if not isinstance(cells, list) or len(cells) != len(names):
            raise UnreadableFile(f"Not {len(names)} cells as in `columns`.", file=path, row=row, remedy=SHAPES)
    return [dict(zip(map(str, names), cells, strict=True)) for cells in data if isinstance(cells, list)]


def _columns(lists: Mapping[str, list[object]], path: Path, notes: list[str]) -> Table:
    lengths = {name: len(cells) for name, cells in lists.items()}
    if len(set(lengths.values())) > 1:
        what = "The columns have different lengths: " + ", ".join(f"{name} {n}" for name, n in lengths.items()) + "."
        raise UnreadableFile(what, file=path, remedy=SHAPES)
    return table_of_columns(lists, path, notes=notes)


def _indexed(value: Mapping[str, Mapping[str, object]], path: Path, notes: list[str]) -> Table:
    """Pandas' `to_json()`: a mapping of index to cell for each column; or one object a row under its id."""
    index = list(dict.fromkeys(key for cells in value.values() for key in cells))
    if len(index) < len(value) and not all(key.isdigit() for key in index):
        return table_of_records([{"id": name, **cells} for name, cells in value.items()], path, notes=notes)
    columns = {name: [cells.get(key) for key in index] for name, cells in value.items()}
    return table_of_columns(columns, path, notes=notes)


def _kind(value: object) -> str:
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return kinds.get(type(value), "null" if value is None else "a number")
