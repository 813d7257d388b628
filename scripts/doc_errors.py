"""What fewtune says of bad input, asked of fewtune itself: each case is written, read, and its message kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewtune.errors import FewtuneError


@dataclass(frozen=True)
class Case:
    """One bad input: what it is in a few words, its file, and how it is read."""

    what: str
    name: str
    content: bytes | str | None = None
    """None: nothing is written under that name."""
    options: dict[str, Any] = field(default_factory=dict)


RARE = "text,label\nthe parcel is late,delivery\nI want my money back,refund\nwhere is my order,delivery\n"
GOOD = RARE + "take it back,refund\n"


def lines(*rows: str) -> str:
    """Rows as a file."""
    return "\n".join(rows) + "\n"


def records(count: int, label: Callable[[int], str], text: Callable[[int], str] = "message {}".format) -> str:
    """A CSV file of `count` rows."""
    return lines("text,label", *(f"{text(row)},{label(row)}" for row in range(count)))


FILES = (
    Case("no such file", "tikets.csv"),
    Case("a folder", "folder/", GOOD),
    Case("an empty file", "empty.csv", ""),
    Case("a header and no rows", "header.csv", "text,label\n"),
    Case("a picture", "picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(40)),
    Case("a pickle", "rows.pkl", b"\x80\x04."),
    Case("a pickle under another name", "rows.csv", b"\x80\x04\x95" + bytes(60)),
    Case("an old Excel file", "rows.xls", b"\xd0\xcf\x11\xe0"),
    Case("a packed file", "rows.csv.gz", b"\x1f\x8b"),
    Case("a row with too many cells", "wide.csv", GOOD + "it broke, again, today,damage\n"),
    Case("a quote that never closes", "quote.csv", 'text,label\n"it broke,damage\nlate, not here,delivery\n'),
    Case("no JSON", "rows.json", "hello"),
    Case("a damaged line of JSON lines", "rows.jsonl", lines('{"text": "late", "label": "a"}', '{"text": "la')),
    Case("JSON that is not rows", "rows.json", '{"a": {"b": [1, 2]}, "c": 3}'),
)
COLUMNS = (
    Case("a column that is not there", "a.csv", GOOD, {"label": "labl"}),
    Case("one column named twice", "a.csv", GOOD, {"text": "label", "label": "label"}),
    Case(
        "two columns that could be the text",
        "two.csv",
        lines("message,comment,label", "it is late,please hurry,delivery", "it is broken,please mend,damage"),
    ),
    Case("one column only", "one.csv", lines("text", "late", "broken")),
    Case(
        "no column that looks like labels",
        "none.csv",
        lines("text,a,b", *(f"message {row} of many,x{row},y{row}" for row in range(9))),
    ),
    Case(
        "several labels a row",
        "multi.jsonl",
        lines(*(json.dumps({"text": f"message {row}", "labels": ["a", "b"]}) for row in range(4))),
    ),
)
TASK = (
    Case("texts all empty", "blank.csv", lines("text,label", " ,a", " ,b")),
    Case("labels all empty", "nolabel.csv", lines("text,label", "late,", "broken,"), {"label": "label"}),
    Case("one class", "single.csv", records(5, lambda row: "delivery")),
    Case("texts all equal", "equal.csv", records(6, lambda row: "ab"[row % 2], lambda row: "hello")),
    Case("numbers to predict", "price.csv", records(60, lambda row: f"{row * 1.37:.2f}")),
    Case("a class for every row", "many.csv", records(60, lambda row: f"label {row}")),
    Case("more than 1,000 classes", "huge.csv", records(4000, lambda row: f"label {row // 3}")),
)
NOTES = (
    Case("empty cells", "gaps.csv", GOOD + ",delivery\nhello,\n"),
    Case("repeated ids", "ids.csv", lines("id,text,label", "7,late,a", "7,broken,b", "8,gone,a", "9,torn,b")),
    Case("a class with one row", "rare.csv", RARE),
    Case("labels that differ in case", "case.csv", GOOD + "late again,Delivery\nlate too,Delivery\n"),
    Case("no header", "bare.csv", lines("the parcel is late,1", "I want my money back,2", "where is it,1", "refund,2")),
    Case(
        "two columns of one name", "twice.csv", lines("text,label,text", "late,a,x", "torn,b,x", "gone,a,x", "lost,b,x")
    ),
    Case("semicolons", "semi.csv", GOOD.replace(",", ";")),
    Case("an old encoding", "old.csv", GOOD.replace("parcel", "café").encode("cp1252")),
    Case(
        "a column that looks like a group",
        "group.csv",
        lines("text,label,customer", "late,a,ann", "broken,b,ann", "gone,a,bob", "torn,b,bob"),
    ),
)


def write(case: Case, folder: Path) -> Path:
    """Put the case's file into `folder`."""
    path = folder / case.name
    if case.name.endswith("/"):
        path.mkdir()
        (path / "tickets.csv").write_bytes(b"")
    elif case.content is not None:
        content = case.content.encode() if isinstance(case.content, str) else case.content
        path.write_bytes(content)
    else:
        (folder / "tickets.csv").write_text(GOOD, encoding="utf-8")
    return path


def said_of(case: Case) -> str:
    """The error's message. Raises AssertionError where there was none: the page would lie."""
    from fewtune.data.read import read

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        try:
            read(str(write(case, folder)), **case.options)
        except FewtuneError as error:
            return f"{str(error).replace(f'{folder}/', '')}"
    raise AssertionError(f"{case.what}: read without an error")


def noted_of(case: Case) -> list[str]:
    """The reader's notes beyond which columns it chose."""
    from fewtune.data.read import read

    with tempfile.TemporaryDirectory() as name:
        notes = read(str(write(case, Path(name))), **case.options).notes
    return [note for note in notes if " column: " not in note and note != "Delimiter: comma."]


def table_of_errors(cases: tuple[Case, ...]) -> str:
    """A Markdown table: what was given, what is said."""
    rows = [f"| {case.what} | {cell(said_of(case))} |" for case in cases]
    return "\n".join(["| Given | fewtune says |", "| --- | --- |", *rows])


def table_of_notes(cases: tuple[Case, ...]) -> str:
    """A Markdown table: what was given, what is noted."""
    rows = []
    for case in cases:
        notes = noted_of(case)
        assert notes, f"{case.what}: nothing was noted"
        said = notes if case.what != "a column that looks like a group" else notes[-1:]
        rows.append(f"| {case.what} | {cell(' '.join(said))} |")
    return "\n".join(["| Given | fewtune notes |", "| --- | --- |", *rows])


def cell(text: str) -> str:
    """Text as a cell of a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
