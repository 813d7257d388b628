"""Cells of a time column → numbers that order rows: plain numbers, ISO dates, or one other way of writing dates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from fewtune.data.base import Dataset
from fewtune.errors import ColumnError

Times = NDArray[np.float64]
OTHERS = (
    "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%d %b %Y", "%b %d, %Y",
    "%d-%b-%Y", "%Y-%m",
)  # fmt: skip
LONGEST = 60
"""Characters of a cell shown."""
REMEDY = "Write times as 2024-03-01 or 2024-03-01T14:30, or as numbers."


def times_of(dataset: Dataset, column: str) -> Times:
    """[N] the time of each row, as numbers that grow with time.

    Raises
    ------
    ColumnError : no such column, an empty cell, or a cell that is no time; dates that can be read in two ways.
    """
    cells = _cells(dataset, column)
    for cell, example in zip(cells, dataset, strict=True):
        if not cell:
            what = f"The time column {column!r} is empty."
            raise ColumnError(what, file=dataset.source, row=example.row, remedy="Fill it, or leave the row out.")
    furthest = 0
    for read in (float, _iso):
        times, odd = _each(cells, read)
        if odd is None:
            return times
        furthest = max(furthest, odd)
    return _of_one_way(cells, dataset, column, furthest)


def _cells(dataset: Dataset, column: str) -> list[str]:
    """The cells of any column that could hold times. Raises ColumnError for one that is not there, or is none such."""
    others = dataset.examples[0].fields
    if column in others:
        return [example.fields.get(column) or "" for example in dataset]
    if column == dataset.id_column:
        return [example.id for example in dataset]
    could = [*others, *([dataset.id_column] if dataset.id_column else [])]
    listing = f"Other columns: {', '.join(map(repr, could))}." if could else "There are no other columns."
    for role, name in (("text", dataset.text_column), ("label", dataset.label_column)):
        if column == name:
            raise ColumnError(f"Column {column!r} is the {role}, not a time.", file=dataset.source, remedy=listing)
    raise ColumnError(f"There is no column {column!r} for the time.", file=dataset.source, remedy=listing)


def _each(cells: Sequence[str], read: Callable[[str], float]) -> tuple[Times, int | None]:
    """The cells as numbers, and the place of the first that cannot be read."""
    found = np.zeros(len(cells))
    for place, cell in enumerate(cells):
        try:
            found[place] = read(cell)
        except (ValueError, OverflowError):
            return found, place
        if not np.isfinite(found[place]):
            return found, place
    return found, None


def _iso(cell: str) -> float:
    return _seconds(datetime.fromisoformat(cell))


def _seconds(moment: datetime) -> float:
    """Times without a zone are taken as one zone."""
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _of_one_way(cells: Sequence[str], dataset: Dataset, column: str, furthest: int) -> Times:
    """All cells by the one way of writing that fits them all; the cell that got in the way is `furthest` or later."""
    fitting: list[tuple[str, Times]] = []
    for form in OTHERS:
        times, odd = _each(cells, lambda cell, form=form: _seconds(datetime.strptime(cell, form)))  # type: ignore[misc]
        if odd is None:
            fitting.append((form, times))
        furthest = max(furthest, odd or 0)
    if not fitting:
        cell = cells[furthest]
        shown = cell if len(cell) <= LONGEST else f"{cell[:LONGEST]}…"
        what = f"{shown!r} in the time column {column!r} is no time that can be read."
        raise ColumnError(what, file=dataset.source, row=dataset.examples[furthest].row, remedy=REMEDY)
    if any((times != fitting[0][1]).any() for _, times in fitting[1:]):
        what = f"Dates like {cells[0]!r} in column {column!r} can be read as day first or month first."
        raise ColumnError(what, file=dataset.source, remedy=REMEDY)
    return fitting[0][1]
