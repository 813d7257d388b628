"""Tables written come back equal; a failed write leaves what was there."""

import errno
import os

import numpy as np
import pytest

from fewtune.data import read, write_table
from fewtune.errors import StoreError, UsageError

COLUMNS = {
    "text": ["a, b", 'say "hi"\nand go', "😀 שלום", "a\rcarriage return"],
    "label": ["x", "y", "x", "y"],
    "share": np.array([0.5, 0.25, 1.0, 0.0]),
}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_what_is_written_is_read(tmp_path, suffix):
    path = write_table(tmp_path / "new" / f"rows{suffix}", COLUMNS)
    dataset = read(path)
    assert dataset.texts == COLUMNS["text"]
    assert dataset.labels == COLUMNS["label"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_new_file_has_the_usual_permissions_and_a_replaced_one_keeps_its_own(tmp_path):
    usual = tmp_path / "usual"
    usual.write_text("")
    path = write_table(tmp_path / "rows.csv", COLUMNS)
    assert path.stat().st_mode == usual.stat().st_mode
    path.chmod(0o600)
    assert write_table(path, COLUMNS).stat().st_mode & 0o777 == 0o600


def test_half_surrogates_and_empty_tables(tmp_path):
    for suffix in (".csv", ".jsonl"):
        assert write_table(tmp_path / f"rows{suffix}", {"text": ["\ud800"]}).read_bytes()
        write_table(tmp_path / f"none{suffix}", {"text": []})
    write_table(tmp_path / "none.parquet", {"text": []})


def test_names_and_columns_that_cannot_be_meant(tmp_path):
    with pytest.raises(UsageError, match=r"\.csv, \.tsv"):
        write_table(tmp_path / "rows.doc", COLUMNS)
    with pytest.raises(UsageError, match="differ in length"):
        write_table(tmp_path / "rows.csv", {"a": [1], "b": []})


def test_a_folder_of_this_name(tmp_path):
    (tmp_path / "rows.csv").mkdir()
    with pytest.raises(StoreError, match="Give another path"):
        write_table(tmp_path / "rows.csv", COLUMNS)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        write_table(tmp_path / "file" / "rows.csv", COLUMNS)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = write_table(tmp_path / "rows.csv", {"text": ["old"]})

    class Full:
        def __str__(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StoreError, match="disk is full"):
        write_table(path, {"text": ["new", Full()]})
    assert path.read_text() == "text\nold\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_to():
    with pytest.raises(StoreError, match=r"Give \w+ path"):
        write_table("/proc/rows.csv", COLUMNS)


def test_records_without_a_field_which_parquet_has_no_place_for_become_texts(tmp_path):
    columns = {"text": ["a", "b", "c"], "meta": [{}, None, {}], "deep": [[{"x": {}}], [], None], "kept": [{"x": 1}] * 3}
    path = write_table(tmp_path / "rows.parquet", columns)
    import pyarrow.parquet as pq

    back = pq.read_table(path).to_pydict()
    assert back["meta"] == ["{}", None, "{}"]
    assert back["deep"] == ['[{"x": {}}]', "[]", None]
    assert back["kept"] == [{"x": 1}] * 3
