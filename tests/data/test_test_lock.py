"""A locked test set: every reading counts, two at once both count, changed rows are named."""

import json
import multiprocessing

import pytest

from fewtune import read
from fewtune.data.test_lock import lock, lock_path, readings, readings_path, record
from fewtune.errors import UnreadableFile


@pytest.fixture
def held(tmp_path):
    path = tmp_path / "test.csv"
    path.write_text("text,label\none,a\ntwo,b\nthree,a\n")
    lock(read(path, labelled=False, text="text", label="label"), about={"from": "rows.csv", "seed": 3})
    return path


def look(path, **options):
    return record(read(path, text="text", labelled=False, **options), purpose="a test", command="fewtune fit")


def test_readings_are_counted_and_written_down(held):
    assert [look(held).before for _ in range(3)] == [0, 1, 2]
    lines = list(readings(held))
    assert [line["purpose"] for line in lines] == ["a test"] * 3
    assert lines[0]["command"] == "fewtune fit"
    assert not any(line["changed"] for line in lines)
    sentences = [look(held).sentence, look(held).sentence]
    assert "read 3 times before" in sentences[0]
    assert "no longer measured on unseen rows" in sentences[1]


def test_the_first_reading_says_so(held):
    assert look(held).sentence == "This is the first reading of the locked test file."


def test_a_file_without_lock_is_nobodys_business(tmp_path):
    (tmp_path / "t.csv").write_text("text\none\ntwo\n")
    assert look(tmp_path / "t.csv") is None
    assert not readings_path(tmp_path / "t.csv").exists()
    assert record(read([("one", "a"), ("two", "b")]), purpose="x") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text,label\none,a\ntwo,b\n", "it has 2 rows, not 3"),
        ("text,label\none,a\nTWO,b\nthree,a\n", "rows 2 have changed"),
        ("text,label\none,b\ntwo,b\nthree,b\n", "rows 1, 3 have changed"),
    ],
)
def test_changed_rows_are_named(held, text, said):
    held.write_text(text)
    reading = look(held, label="label")
    assert said in reading.changed
    assert said in reading.sentence
    assert next(iter(readings(held)))["changed"]


def test_rows_read_without_labels_are_the_same_rows(held):
    assert look(held).changed == ""


def test_a_reading_that_cannot_be_recorded_says_so(held):
    readings_path(held).mkdir()
    reading = look(held)
    assert "could not be recorded" in reading.sentence
    assert reading.to_json()["recorded"] is False


def test_a_torn_line_counts_as_a_reading_and_does_not_spoil_the_next(held):
    look(held)
    with readings_path(held).open("a") as file:
        file.write('{"at": "20')
    assert look(held).before == 2
    assert len(list(readings(held))) == 2


def _look_often(path, times, out):
    out.put([look(path).before for _ in range(times)])


def test_two_processes_at_once_are_both_counted(held):
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    readers = [context.Process(target=_look_often, args=(held, 20, out)) for _ in range(2)]
    for reader in readers:
        reader.start()
    counts = [count for _ in readers for count in out.get(timeout=600)]
    for reader in readers:
        reader.join()
    assert sorted(counts) == list(range(40))
    assert len(list(readings(held))) == 40


@pytest.mark.parametrize("text", ["", "{}", "[1]", json.dumps({"format": 1, "rows": [{}]}), json.dumps({"format": 9})])
def test_a_damaged_lock_is_said(held, text):
    lock_path(held).write_text(text)
    with pytest.raises(UnreadableFile, match="lock of the test file is damaged"):
        look(held)
