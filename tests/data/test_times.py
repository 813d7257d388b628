"""Times are read one way or not at all."""

import numpy as np
import pytest

from fewtune.data.base import Dataset, Example
from fewtune.data.read import read
from fewtune.data.times import times_of
from fewtune.errors import ColumnError


def rows(cells):
    return Dataset(tuple(Example(f"t{n}", "a", row=n + 1, fields={"when": cell}) for n, cell in enumerate(cells)))


@pytest.mark.parametrize(
    "cells",
    [
        ["3", "12", "-1.5"],
        ["2024-03-01", "2024-12-24T18:00", "2023-01-01"],
        ["2024-03-01T10:00:00+02:00", "2024-03-01T09:00:00+00:00", "2024-03-01T09:59:00+02:00"],
        ["01.03.2024", "24.12.2024", "01.01.2023"],
        ["3/31/2024", "12/24/2024", "1/13/2023"],
        ["1 Mar 2024", "24 Dec 2024", "1 Jan 2023"],
        ["2024-03", "2024-12", "2023-01"],
    ],
)
def test_ways_of_writing_times(cells):
    assert np.argsort(times_of(rows(cells), "when")).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["2024-03-01", "soon"], "row 2: 'soon'"),
        (["2024-03-01", ""], "row 2: The time column 'when' is empty"),
        (["03/04/2024", "05/06/2024"], "day first or month first"),
        (["nan", "1"], "row 1"),
    ],
)
def test_what_is_no_time(cells, said):
    with pytest.raises(ColumnError, match=said):
        times_of(rows(cells), "when")


def test_no_such_column():
    with pytest.raises(ColumnError, match=r"no column 'date'.*'when'"):
        times_of(rows(["1"]), "date")


def test_ids_that_grow_with_time_are_times():
    dataset = read({"id": ["12", "3"], "text": ["one", "two"], "label": ["a", "b"]})
    assert times_of(dataset, "id").tolist() == [12.0, 3.0]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("id", r"row 1: 'T1' in the time column 'id' is no time that can be read\. Write times as"),
        ("text", r"'text' is the text, not a time\. Other columns: 'note', 'id'"),
        ("label", r"'label' is the label, not a time\. Other columns: 'note', 'id'"),
        ("when", r"no column 'when' for the time\. Other columns: 'note', 'id'"),
        ("note", r"'(long ){12}…' in the time column 'note' is no time"),
    ],
)
def test_a_column_that_holds_no_times_is_told_from_one_that_is_not_there(column, said):
    long = "long " * 100
    dataset = read({"id": ["T1", "T2"], "text": ["one", "two"], "label": ["a", "b"], "note": [long, long]})
    with pytest.raises(ColumnError, match=said):
        times_of(dataset, column)
