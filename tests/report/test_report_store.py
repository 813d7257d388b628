from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import report_results as results

from fewtune.errors import StoreError
from fewtune.report.html import render, write_report
from fewtune.report.store import read_result


def test_absent_result_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"result\.json does not exist\. Name a folder that `fewtune fit` has finished"
    ):
        write_report(tmp_path)


@pytest.mark.parametrize("content", ["", "{", '{"format": 1', "[]", "null", '"text"', "{}", "\x00\x01", "[" * 100_000])
def test_damaged_result(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(StoreError, match=r"is damaged.*Run `fewtune fit` again"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_undecodable_result(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(b'{"format": 1, "source": "\xff\xfe\xfa"}')
    with pytest.raises(StoreError, match="is damaged"):
        read_result(tmp_path)


def test_a_folder_named_result_json(tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    ("number", "advice"), [(2, "Update fewtune"), (0, "again"), ("1", "again"), (None, "again"), (True, "again")]
)
def test_unknown_format(number: Any, advice: str) -> None:
    with pytest.raises(StoreError, match=f"reads format 1.*{advice}"):
        render(results.minimal() | {"format": number})


@pytest.mark.parametrize("key", ["winner", "ladder", "verdict"])
def test_a_part_no_report_can_do_without(key: str) -> None:
    with pytest.raises(StoreError, match=f"its '{key}' is missing"):
        render({name: value for name, value in results.minimal().items() if name != key})


def test_reading_gives_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(results.full()))
    assert read_result(tmp_path) == results.full()
