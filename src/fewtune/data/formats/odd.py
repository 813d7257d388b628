"""A row that is not of the form of the rows about it: named, where it would else be taken for something it is not."""

from __future__ import annotations

from collections.abc import Sequence

from fewtune.data.formats.base import Format, Record
from fewtune.data.formats.registry import FORMATS
from fewtune.data.readers.base import Table, is_nested
from fewtune.data.words import LABEL_TIERS, plain
from fewtune.errors import DataError

REMEDY = (
    "Mend the row or take it out: the rows of a file are of one form. If they are classes, name the column of their "
    "labels with --label."
)


def refuse_odd(records: Sequence[Record], table: Table) -> None:
    """Raises DataError where columns are those of rows to write and some rows lack them, with the row."""
    kind = _kind_of(records, table)
    if kind is None:
        return
    for record, row in zip(records, table.rows, strict=True):
        if not kind.knows(record):
            raise DataError(why(record, kind), file=table.source, row=row, remedy=REMEDY)


def _kind_of(records: Sequence[Record], table: Table) -> Format | None:
    """The form most rows have of those whose columns are there; None where a label says that these are classes."""
    names = set(table.columns)
    kinds = [kind for kind in FORMATS.values() if kind.keys and names >= set(kind.keys)]
    known = {key for kind in kinds for key in kind.keys}
    if not kinds or any(plain(name) in LABEL_TIERS[0] for name in names - known):
        return None
    return max(kinds, key=lambda kind: (sum(map(kind.knows, records)), kind.knows(records[0])))


def why(record: Record, kind: Format) -> str:
    """What keeps a record from being of a kind."""
    other = next((one for one in FORMATS.values() if one.keys and one.knows(record)), None)
    if other is not None:
        return f"This row is of another form ({other.title}) than those about it ({kind.title})."
    for key in kind.keys:
        value = record.get(key)
        if value is None:
            return f"Its {key!r} is missing or empty."
        if not isinstance(value, list) and is_nested(value):
            return f"Its {key!r} is an object, where a text should be."
    if len(kind.keys) == 1:
        return f"Its {kind.keys[0]!r} holds no turns: a list of objects with {' and '.join(kind.parts)} is needed."
    return f"Its {' and '.join(map(repr, kind.keys))} are not both texts."


__all__ = ["refuse_odd", "why"]
