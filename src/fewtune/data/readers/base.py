"""What every reader gives back: a `Table` of cells that are text or nothing.

Readers know formats, not tasks: which column holds the text is decided in `fewtune.data.columns`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Cell = str | None


@dataclass(frozen=True)
class Table:
    """Columns of equal length, as read."""

    columns: dict[str, list[Cell]]
    rows: list[int]
    """1-based number of each row in the source, the header not counted, blank rows counted."""
    source: str
    """How messages call it: a path, a Hub name, `memory`."""
    notes: tuple[str, ...] = ()
    nested: frozenset[str] = frozenset()
    """Columns where some cell was a list or an object: neither text nor one label."""
    values: Mapping[str, Sequence[object]] = field(default_factory=dict, repr=False, compare=False)
    """The cells of `columns` before they were made text, for those who write them out again."""

    def __post_init__(self) -> None:
        assert all(len(cells) == len(self.rows) for cells in self.columns.values()), "columns of unequal length"

    def __len__(self) -> int:
        return len(self.rows)


_SURROGATE = re.compile("[\ud800-\udfff]")


def sound(text: str) -> str:
    """A text without NUL (C libraries end there) and without half surrogate pairs (they cannot be encoded)."""
    return _SURROGATE.sub("\ufffd", text.replace("\x00", ""))


def cell_text(value: object) -> Cell:
    """A cell as text: nothing for None, NaN and NaT; `1.0` as `1`, for Excel and pandas turn whole numbers so."""
    if value is None:
        return None
    if isinstance(value, str):
        return str.__str__(value)  # of NumPy's own kind too
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy scalar
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if is_nested(value):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", errors="replace")
    text = _number_text(value)
    return None if text in ("<NA>", "NaT") else text  # pandas' two other nothings


def _number_text(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # Python refuses to print whole numbers of more than 4,300 digits
        return hex(value) if isinstance(value, int) else object.__repr__(value)


def is_nested(value: object) -> bool:
    """Whether a cell holds several values."""
    return isinstance(value, (list, tuple, dict, set, frozenset)) or getattr(value, "ndim", 0) > 0


def table_of_columns(
    columns: Mapping[str, Sequence[object]],
    source: str | Path,
    *,
    rows: Sequence[int] | None = None,
    notes: Iterable[str] = (),
) -> Table:
    """A table from columns of any Python values; the columns have equal lengths."""
    length = len(next(iter(columns.values()), ()))
    return Table(
        columns={name: [cell_text(value) for value in values] for name, values in columns.items()},
        rows=list(rows) if rows is not None else list(range(1, length + 1)),
        source=str(source),
        notes=tuple(notes),
        nested=frozenset(name for name, values in columns.items() if any(is_nested(value) for value in values)),
        values=columns,
    )


def table_of_records(
    records: Sequence[Mapping[str, object]],
    source: str | Path,
    *,
    rows: Sequence[int] | None = None,
    notes: Iterable[str] = (),
) -> Table:
    """A table from one mapping a row. A key that some rows lack is an empty cell there, and a note says so."""
    names = list(dict.fromkeys(name for record in records for name in record))
    lacking = {name: sum(name not in record for record in records) for name in names}
    said = [
        f"Column {name!r} is absent from {count} of {len(records)} rows." for name, count in lacking.items() if count
    ]
    columns = {name: [record.get(name) for record in records] for name in names}
    return table_of_columns(columns, source, rows=rows, notes=[*notes, *said[:5]])


def repeated_names(names: Sequence[str]) -> list[str]:
    """A sentence for each name that several columns have, as they are told apart by `unique_names`."""
    called: dict[str, list[str]] = {}
    for given, unique in zip(names, unique_names(names), strict=True):
        called.setdefault(given.strip().strip("\ufeff"), []).append(repr(unique))
    return [
        f"{len(read)} columns are called {name!r}: the first is read as {read[0]}, then {', '.join(read[1:])}."
        for name, read in called.items()
        if name and len(read) > 1
    ][:5]


def unique_names(names: Sequence[str]) -> list[str]:
    """Column names stripped; unnamed ones called by their place, repeated ones numbered."""
    taken: set[str] = set()
    unique = []
    for place, given in enumerate(names, start=1):
        name = base = given.strip().strip("\ufeff") or f"column {place}"
        count = 1
        while name in taken:
            count += 1
            name = f"{base} ({count})"
        taken.add(name)
        unique.append(name)
    return unique
