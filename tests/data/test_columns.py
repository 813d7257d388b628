"""A column has one role: the label and the text are no groups, and two columns of one name are told apart aloud."""

import pandas as pd
import pytest

from fewtune.data.read import read
from fewtune.data.readers.base import repeated_names, unique_names
from fewtune.errors import ColumnError

LABELLED = {"text": ["red", "blue", "green", "pink"], "label": ["a", "b", "a", "b"]}
TWICE = "text,label,text\nred,a,ruby\nblue,b,sapphire\n"


@pytest.mark.parametrize("labelled", [True, None])
@pytest.mark.parametrize("name", ["label", "category", "Sentiment"])
def test_the_label_is_no_group(name, labelled):
    rows = {"text": LABELLED["text"], name: LABELLED["label"], "shop": ["x", "x", "y", "y"]}
    with pytest.raises(ColumnError, match=f"'{name}' is named as the group, and is the label .* never both") as told:
        read(rows, group=name, labelled=labelled)
    assert "--label COLUMN" in str(told.value)
    assert "'shop'" in str(told.value)


def test_the_text_is_no_group():
    with pytest.raises(ColumnError, match=r"'text' is named as the group, and is the text by its name\. .*--text"):
        read({"id": ["x1", "x2", "x3", "x4"], **LABELLED}, group="text", labelled=None)


def test_a_group_called_like_a_label_is_one_where_another_column_is_the_label():
    rows = {**LABELLED, "category": ["x", "x", "y", "y"]}
    for options in ({}, {"label": "label"}):
        assert [one.group for one in read(rows, group="category", **options)] == ["x", "x", "y", "y"]
    swapped = read(rows, group="label", label="category")
    assert ([one.group for one in swapped], swapped.labels) == (LABELLED["label"], ["x", "x", "y", "y"])


def test_rows_without_labels_may_be_grouped_by_what_looks_like_one():
    dataset = read(LABELLED, group="label", label="", labelled=None)
    assert dataset.label_column is None
    assert [one.group for one in dataset] == LABELLED["label"]


@pytest.mark.parametrize("name", ["document", "customer", "who"])
def test_what_groups_are_called_is_a_group(name):
    rows = {"wording": LABELLED["text"], "label": LABELLED["label"], name: ["x", "x", "y", "y"]}
    assert [one.group for one in read(rows, group=name)] == ["x", "x", "y", "y"]


def test_repeated_names_are_said_as_they_are_read():
    names = ["text", "a", " text", "text (2)", "", "", "text"]
    assert unique_names(names) == ["text", "a", "text (2)", "text (2) (2)", "column 5", "column 6", "text (3)"]
    assert repeated_names(names) == [
        "3 columns are called 'text': the first is read as 'text', then 'text (2)', 'text (3)'."
    ]
    assert repeated_names(["text", "label", "", ""]) == []


@pytest.mark.parametrize("kind", ["csv", "frame", "excel"])
def test_two_columns_of_one_name_are_noted(kind, tmp_path):
    (tmp_path / "rows.csv").write_text(TWICE)
    frame = pd.DataFrame([["red", "a", "ruby"], ["blue", "b", "sapphire"]], columns=["text", "label", "text"])
    if kind == "excel":
        frame.to_excel(tmp_path / "rows.xlsx", index=False)
    dataset = read({"csv": tmp_path / "rows.csv", "frame": frame, "excel": tmp_path / "rows.xlsx"}[kind])
    assert dataset.texts == ["red", "blue"]
    assert "2 columns are called 'text': the first is read as 'text', then 'text (2)'." in dataset.notes
    assert [one.fields["text (2)"] for one in dataset] == ["ruby", "sapphire"]


def test_parquet_with_two_columns_of_one_name(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [pa.array(cells) for cells in (["red", "blue"], ["a", "b"], ["ruby", "sapphire"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["text", "label", "text"]), tmp_path / "rows.parquet")
    assert any("2 columns are called 'text'" in note for note in read(tmp_path / "rows.parquet").notes)
