"""Excel workbooks (.xlsx, .xlsm), through openpyxl: the first sheet that holds anything, values, not formulas."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from fewtune.data.readers.base import Table, cell_text, repeated_names, table_of_columns, unique_names
from fewtune.data.readers.csv import header_is_missing
from fewtune.errors import EmptyData, MissingExtra, UnreadableFile


def read_excel(path: Path) -> Table:
    """Read the first sheet that is not empty."""
    try:
        import openpyxl
    except ImportError as error:
        raise MissingExtra("openpyxl", "excel", "Reading an Excel file") from error
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # about styles and extensions that hold no cells
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            sheets = {sheet.title: _rows(sheet) for sheet in book.worksheets}
    except Exception as error:  # openpyxl raises what its parser raises: zip, XML, key, value, index errors
        what = f"This is not a readable Excel workbook ({type(error).__name__}: {str(error)[:200]})."
        raise UnreadableFile(what, file=path, remedy="Save it as .xlsx without a password, or as CSV.") from error
    return _table({title: rows for title, rows in sheets.items() if rows}, path)


def _rows(sheet: Any) -> list[tuple[object, ...]]:
    sheet.reset_dimensions()  # some writers store a wrong size, and rows would be cut off
    rows = [tuple(None if cell.data_type == "e" else cell.value for cell in row) for row in sheet.iter_rows()]
    while rows and not any(cell_text(cell) for cell in rows[-1]):
        rows.pop()
    return rows


def _table(sheets: dict[str, list[tuple[object, ...]]], path: Path) -> Table:
    if not sheets:
        raise EmptyData("The workbook holds no cells.", file=path)
    title, rows = next(iter(sheets.items()))
    others = [other for other in sheets if other != title]
    notes = [f"Sheet {title!r} is read; not read: {', '.join(others)}."] if others else []
    start = next(place for place, row in enumerate(rows) if any(cell_text(cell) for cell in row))
    rows = rows[start:]
    width = max(len(row) for row in rows)
    cells = [[*row, *[None] * (width - len(row))] for row in rows]
    texts = [[cell_text(cell) or "" for cell in row] for row in cells[:500]]
    if header_is_missing(texts):
        names = [f"column {place}" for place in range(1, width + 1)]
        notes.append("No header: the first row is read as data; the columns are called column 1, column 2, …")
    else:
        names, cells = unique_names(texts[0]), cells[1:]
        notes += repeated_names(texts[0])
    kept = [(number, row) for number, row in enumerate(cells, start=1) if any(cell_text(cell) for cell in row)]
    if not kept:
        raise EmptyData("The sheet holds a header and no rows.", file=path, remedy="Add rows below the header.")
    columns = {name: [row[place] for _, row in kept] for place, name in enumerate(names)}
    return table_of_columns(columns, path, rows=[number for number, _ in kept], notes=notes)
