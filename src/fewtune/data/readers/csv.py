"""Delimited text: CSV, TSV, semicolons, pipes; and plain text, one example a line.

The delimiter is the one that makes the most rows as wide as the first. A row of another width is an error, not a
guess: joining its cells would put words into the wrong example.
"""

from __future__ import annotations

import csv
import re
import threading
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fewtune.data.readers.base import Table, repeated_names, table_of_columns, unique_names
from fewtune.data.readers.encoding import decode, read_bytes
from fewtune.data.words import looks_like_a_name
from fewtune.errors import EmptyData, UnreadableFile
from fewtune.plural import counted

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
NONE = "\x1f"
"""Stands for "one column": a control character no table holds."""
LOOKED_AT = 500
LONGEST_NAME = 60
_LIMIT = threading.Lock()
_ANNOUNCED = re.compile(r'"?sep=(.)"?[\r\n]')
"""How Excel is told the delimiter, in a line before the header."""


@dataclass(frozen=True)
class _Parse:
    """One way to read the text."""

    records: list[list[str]]
    damage: str = ""
    """Why the text is not well-formed read this way; empty when it is."""
    row: int | None = None

    @property
    def agreement(self) -> float:
        """Share of rows as wide as the first, among rows that are not blank."""
        widths = Counter(len(record) for record in self.records if record)
        return widths[len(self.records[0])] / widths.total() if self.records else 0.0


def read_csv(path: Path) -> Table:
    """Read delimited text with or without a header."""
    text, notes = decode(read_bytes(path), path)
    text = text.lstrip("\r\n")
    if not text.strip():
        raise EmptyData("The file is empty.", file=path, remedy="Give a file with at least a header and two rows.")
    lines = _lines(text)
    announced = _ANNOUNCED.match(lines[0])
    if announced:
        del lines[0]
    delimiter = announced[1] if announced else find_delimiter(lines, path.suffix.lower())
    records = _parse(lines, delimiter, path, notes) if lines else [[]]
    while len(records) > 1 and not any(cell.strip() for cell in records[-1]):
        records.pop()
    if delimiter != NONE:
        notes.append(f"Delimiter: {DELIMITERS.get(delimiter, delimiter)}.")
    return _table(records, path, notes)


def read_lines(path: Path) -> Table:
    """Read plain text: each line is one text."""
    text, notes = decode(read_bytes(path), path)
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return table_of_columns({"text": lines}, path, notes=[*notes, "Plain text: one text a line."])


def read_exactly(text: str, delimiter: str) -> list[list[str]]:
    """Rows of a file that is known to be well-formed, header first; raises ValueError where it is not."""
    parse = _records(_lines(text), delimiter, quoting=csv.QUOTE_MINIMAL)
    if parse.damage or not parse.records or parse.agreement < 1:
        raise ValueError(parse.damage or "rows of different widths")
    return [record for record in parse.records if record]


def _lines(text: str) -> list[str]:
    """Lines with their ends. `str.splitlines` would also cut at U+2028 and form feeds."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)


def find_delimiter(lines: list[str], suffix: str = "") -> str:
    """The delimiter under which most of the first rows are as wide as the first; `NONE` if that makes one column."""
    order = sorted(DELIMITERS, key=lambda mark: (mark == "\t") != (suffix == ".tsv"))
    best, best_score = NONE, (0.0, 0)
    for delimiter in order:
        parse = _records(lines, delimiter, quoting=csv.QUOTE_MINIMAL, most=LOOKED_AT)
        if not parse.records or len(parse.records[0]) < 2:
            continue
        known = sum(looks_like_a_name(cell) for cell in parse.records[0])
        score = (parse.agreement, known)
        if score > best_score:
            best, best_score = delimiter, score
    return best if best_score[0] >= 0.5 or best_score[1] > 0 else NONE


def _records(lines: list[str], delimiter: str, *, quoting: int, strict: bool = True, most: int | None = None) -> _Parse:
    """Rows of cells. csv's limit on cell length is global, so it is raised under a lock and put back."""
    records: list[list[str]] = []
    with _LIMIT:
        limit = csv.field_size_limit(1 << 30)
        try:
            reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=strict)  # type: ignore[arg-type]
            for record in islice(reader, most):
                records.append(record)
        except csv.Error as error:
            return _Parse(records, damage=str(error), row=len(records))
        finally:
            csv.field_size_limit(limit)
    return _Parse(records)


def _parse(lines: list[str], delimiter: str, path: Path, notes: list[str]) -> list[list[str]]:
    """Well-formed quoting, else quote marks taken as letters where that makes every row equally wide, else an error."""
    parse = _records(lines, delimiter, quoting=csv.QUOTE_MINIMAL)
    if not parse.damage and parse.agreement == 1:
        return parse.records
    if any('"' in line for line in lines):
        for quoting, said in (
            (csv.QUOTE_NONE, "Quote marks do not pair up: read as letters of the text."),
            (csv.QUOTE_MINIMAL, "Some quote marks inside quoted cells are not doubled; read as well as can be told."),
        ):
            other = _records(lines, delimiter, quoting=quoting, strict=False)
            closed = quoting == csv.QUOTE_NONE or "unexpected end" not in parse.damage
            if closed and not other.damage and other.agreement == 1 and len(other.records) > 1:
                notes.append(said)
                return other.records
    if parse.damage:
        raise UnreadableFile(
            f"The quoting of this row is broken ({parse.damage}).",
            file=path,
            row=parse.row,
            remedy='Put cells that hold quotes, delimiters or line breaks in "..." and double the quotes inside.',
        )
    return _evened(parse.records, delimiter, path, notes)


def _evened(records: list[list[str]], delimiter: str, path: Path, notes: list[str]) -> list[list[str]]:
    """Rows cut to the header's width where what is over is blank; any other difference is an error."""
    width = len(records[0])
    cut = 0
    for row, record in enumerate(records):
        if len(record) > width and not any(cell.strip() for cell in record[width:]):
            del record[width:]
            cut += 1
        elif record and len(record) != width and any(cell.strip() for cell in record):
            raise UnreadableFile(
                f"{len(record)} cells where the first line has {width} (delimiter: {DELIMITERS.get(delimiter)}).",
                file=path,
                row=row,
                remedy='Put cells that hold the delimiter or a line break in double quotes: "like, this".',
            )
    if cut:
        notes.append(f"{counted(cut, 'row ends', 'rows end')} in empty cells beyond the header; these are dropped.")
    return records


def _table(records: list[list[str]], path: Path, notes: list[str]) -> Table:
    width = len(records[0])
    if header_is_missing(records):
        names = [f"column {place}" for place in range(1, width + 1)]
        notes.append("No header: the first line is read as data; the columns are called column 1, column 2, …")
        body, first = records, 1
    else:
        names = unique_names(records[0])
        notes += repeated_names(records[0])
        body, first = records[1:], 1
        if not any(looks_like_a_name(name) for name in names):
            notes.append(f"The first line is read as the header: {', '.join(names)[:200]}.")
    kept = [(row, record) for row, record in enumerate(body, start=first) if any(cell.strip() for cell in record)]
    if not kept:
        remedy = "Add rows below the header."
        raise EmptyData("The file holds a header and no rows.", file=path, remedy=remedy)
    columns = {name: [record[place] for _, record in kept] for place, name in enumerate(names)}
    return table_of_columns(columns, path, rows=[row for row, _ in kept], notes=notes)


def header_is_missing(records: list[list[str]]) -> bool:
    """Whether the first row is data: no known column name in it, and a cell no header would hold.

    A column of few values decides: its first cell is one of them or a name. A survey's header is whole questions, so
    length alone decides only where no such column is.
    """
    first, rest = records[0], [record for record in records[1:LOOKED_AT] if len(record) == len(records[0])]
    if any(looks_like_a_name(cell) for cell in first) or _is_counted(first):
        return False
    if any(_is_number(cell) for cell in first):
        return True
    named = False
    for place, cell in enumerate(first):
        values = [record[place] for record in rest]
        if cell.strip() and cell in values and len(first) > 1:
            return True
        named |= cell.strip() != "" and 1 < len(set(values)) <= len(values) / 2
    return not named and any(_reads_like_a_text(cell) for cell in first)


def _is_counted(cells: list[str]) -> bool:
    """Whether the cells are 0, 1, 2, …, with or without an unnamed one before: columns that pandas had no names for."""
    named = cells[1:] if cells and not cells[0].strip() else cells
    return len(named) > 1 and [cell.strip() for cell in named] == [str(place) for place in range(len(named))]


def _reads_like_a_text(cell: str) -> bool:
    return len(cell) > LONGEST_NAME or len(cell.split()) > 5 or re.search(r"\w[.!?,](\s|$)", cell) is not None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
