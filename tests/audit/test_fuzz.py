"""Whatever is in the file, a check ends in an audit or in advice: never in another exception, never in a warning.

A few hundred cases by default; thousands where `slow` tests are run (`make bench`).
"""

from __future__ import annotations

import contextlib
import csv
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from fewtune.auditing import check
from fewtune.errors import FewtuneError
from fewtune.report.audit_page import render
from fewtune.report.audit_terminal import summary

NAMES = ["a.csv", "a.json", "a.jsonl", "a.txt", "a.tsv", "a.parquet", "a.xlsx", "a"]
WORDS = [
    "refund",
    "order 66",
    "http://a.b/c",
    "jo@example.org",
    "+44 20 7946 0018",
    "<b>x</b>",
    "â€™",
    "\u200b",
    "schön",
]
TEXT = (
    st.text(max_size=40)
    | st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
    | st.sampled_from(
        ["", " ", "\x00", "\ud800", "1", "ok", "?", "A" * 3000, "the same text as another row, word for word"]
    )
)
LABEL = (
    st.sampled_from(["a", "b", "A", " a ", "", "1", "2", "1.5", "schön", "\u202e"]) | st.text(max_size=6) | st.none()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["text", "label", "data", "columns", "id", "messages"]), inner, max_size=4)
    ),
    max_leaves=20,
)
CELL = TEXT | st.sampled_from(["text", "label", "", '"', "a", "b", "1.5"])
ROWS = st.lists(st.tuples(TEXT, LABEL), min_size=1, max_size=24)
SEVERAL = st.lists(
    st.tuples(TEXT, LABEL, TEXT, st.sampled_from(["x", "y", "2024-01-02", "3"])), min_size=1, max_size=16
)

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
# Not of the gate: other cases every time.
MANY = settings(FEW, max_examples=1250, derandomize=False)
SOME = settings(FEW, max_examples=250, derandomize=False)


def looked_at(source, **options):
    """The whole way of a check, but for writing files; True where it came to an audit."""
    with contextlib.suppress(FewtuneError):
        found = check(source, **({"backbone": None} | options))
        plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
        render(plain)
        Console(file=io.StringIO(), width=80).print(summary(plain))
        return True
    return False


def of_bytes(folder, name, content):
    (folder / name).write_bytes(content)
    looked_at(folder / name)


def of_cells(folder, rows, mark, encoding, quoted):
    file = io.StringIO()
    if quoted:
        csv.writer(file, delimiter=mark).writerows(rows)
    else:
        file.write("\n".join(mark.join(row) for row in rows))
    path = folder / "cells.csv"
    path.write_bytes(file.getvalue().encode(encoding, errors="replace"))
    looked_at(path, test=path)


def of_json(folder, value, lines, whole):
    content = json.dumps(value) if whole else "\n".join(map(json.dumps, lines))
    (folder / "a.json").write_text(content)
    looked_at(folder / "a.json")


def of_rows(rows, others, **options):
    texts, labels = zip(*rows, strict=True)
    labelled = {"text": list(texts), "label": list(labels)}
    if looked_at(labelled, test=others, **options):
        looked_at(list(texts), unlabelled=others, label="", **options)


BYTES = {"name": st.sampled_from(NAMES), "content": st.binary(max_size=300)}
CELLS = {
    "rows": st.lists(st.lists(CELL, max_size=4), max_size=8),
    "mark": st.sampled_from(",;\t|"),
    "encoding": st.sampled_from(["utf-8", "utf-16", "cp1252", "utf-8-sig", "shift_jis"]),
    "quoted": st.booleans(),
}
VALUES = {"value": JSON, "lines": st.lists(JSON, max_size=5), "whole": st.booleans()}
PAIRS = {"rows": ROWS, "others": st.lists(TEXT, min_size=1, max_size=6) | ROWS}


@FEW
@given(**BYTES)
def test_random_bytes(tmp_path, name, content):
    of_bytes(tmp_path, name, content)


@FEW
@given(**CELLS)
def test_ragged_tables(tmp_path, rows, mark, encoding, quoted):
    of_cells(tmp_path, rows, mark, encoding, quoted)


@FEW
@given(**VALUES)
def test_random_json(tmp_path, value, lines, whole):
    of_json(tmp_path, value, lines, whole)


@FEW
@given(**PAIRS)
def test_odd_rows(rows, others):
    of_rows(rows, others)


@FEW
@given(rows=SEVERAL)
def test_odd_columns(rows):
    columns = dict(zip(("text", "label", "notes", "date"), map(list, zip(*rows, strict=True)), strict=True))
    looked_at(columns, test=columns, text="text", label="label")


@settings(FEW, max_examples=5)
@given(**PAIRS)
def test_odd_rows_with_a_backbone(tiny_folders, rows, others):
    of_rows(rows, others, backbone=str(tiny_folders("bert")), about="orders and refunds")


@pytest.mark.slow
class TestThousands:
    """5,250 cases: the bar is 5,000."""

    @MANY
    @given(**BYTES)
    def test_random_bytes(self, tmp_path, name, content):
        of_bytes(tmp_path, name, content)

    @MANY
    @given(**CELLS)
    def test_ragged_tables(self, tmp_path, rows, mark, encoding, quoted):
        of_cells(tmp_path, rows, mark, encoding, quoted)

    @MANY
    @given(**VALUES)
    def test_random_json(self, tmp_path, value, lines, whole):
        of_json(tmp_path, value, lines, whole)

    @MANY
    @given(**PAIRS)
    def test_odd_rows(self, rows, others):
        of_rows(rows, others)

    @SOME
    @given(**PAIRS)
    def test_odd_rows_with_a_backbone(self, tiny_folders, rows, others):
        of_rows(rows, others, backbone=str(tiny_folders("bert")), about="orders and refunds")
