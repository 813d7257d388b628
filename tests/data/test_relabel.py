"""A relabelled copy: other labels where asked, all else as it was, and the original untouched."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewtune.data.read import read
from fewtune.data.relabel import copy_suffix, write_relabelled
from fewtune.errors import UsageError

ROWS = [
    ("1", "first", "a", "x"),
    ("2", "second, with comma", "b", ""),
    ("3", "", "a", "z"),
    ("4", "two\nlines", "", "w"),
]


def write_csv(path, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([("id", "text", "label", "more"), *ROWS])
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_keeps_rows_and_columns_also_those_nothing_was_learnt_from(tmp_path, delimiter):
    source = write_csv(tmp_path / "rows.csv", delimiter)
    before = source.read_bytes()
    copy = write_relabelled(str(source), "label", {2: "c"}, tmp_path / "copy.csv")
    with copy.open(newline="", encoding="utf-8") as file:
        found = list(csv.reader(file))
    assert found == [["id", "text", "label", "more"], *map(list, [ROWS[0], ("2", ROWS[1][1], "c", ""), *ROWS[2:]])]
    assert source.read_bytes() == before


def test_json_lines_keep_types_and_nesting(tmp_path):
    source = tmp_path / "rows.jsonl"
    records = [{"text": "one", "label": "a", "n": 1.5, "deep": {"k": [1]}}, {"text": "two", "label": "b", "n": None}]
    source.write_text("\n\n".join(map(json.dumps, records)) + "\n")
    rows = [example.row for example in read(source)]
    copy = write_relabelled(str(source), "label", {rows[1]: "a"}, tmp_path / "copy.jsonl")
    assert [json.loads(line) for line in copy.read_text().splitlines()] == [records[0], records[1] | {"label": "a"}]


def test_a_json_array_stays_one(tmp_path):
    source = tmp_path / "rows.json"
    source.write_text(json.dumps([{"text": "one", "label": 1}, {"text": "two", "label": 2}]))
    copy = write_relabelled(str(source), "label", {1: "2"}, tmp_path / "copy.json")
    assert json.loads(copy.read_text()) == [{"text": "one", "label": "2"}, {"text": "two", "label": 2}]


def test_json_of_columns_becomes_csv(tmp_path):
    source = tmp_path / "rows.json"
    source.write_text(json.dumps({"text": ["one", "two"], "label": ["a", "b"]}))
    copy = write_relabelled(str(source), "label", {1: "b"}, tmp_path / "copy.json")
    assert copy.suffix == ".csv"
    assert read(copy, labelled=False, label="label").labels == ["b", "b"]


def test_parquet_keeps_the_other_columns_types(tmp_path):
    source = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["one", "two"], "label": [0, 1], "n": [1, 2]}), source)
    copy = write_relabelled(str(source), "label", {2: "0"}, tmp_path / "copy.parquet")
    assert pq.read_table(copy).to_pydict() == {"text": ["one", "two"], "label": ["0", "0"], "n": [1, 2]}


def test_the_original_is_never_written_to(tmp_path):
    source = write_csv(tmp_path / "rows.csv")
    with pytest.raises(UsageError, match="never written"):
        write_relabelled(str(source), "label", {1: "b"}, source)


def test_endings():
    endings = {"a.csv": ".csv", "a.xlsx": ".csv", "a.ndjson": ".jsonl", "a.pq": ".parquet", "owner/name": ".csv"}
    assert {source: copy_suffix(source) for source in endings} == endings
