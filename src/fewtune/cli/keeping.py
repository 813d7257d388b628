"""The end of a command that tunes: its result and page are written, then a test file is read and they are again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fewtune.errors import DataError


def keep(result: dict[str, Any], folder: Path, *, read_test: Callable[[], object] | None) -> None:
    """Write `result.json` and the page; `read_test` puts into `result` what a test file says, None where none is given.

    All stands before the test file is looked at: whatever is wrong with it costs no work.

    Raises
    ------
    DataError : of the test file, with what is kept and how to go on.
    """
    from fewtune.report.html import write_report
    from fewtune.study.store import write_json

    def write() -> None:
        write_json(folder / "result.json", result)
        write_report(folder)

    write()
    if read_test is None:
        return
    try:
        read_test()
    except DataError as error:
        kept = f"Model and page are in {folder}, without this file; the same command reads it and repeats no run."
        remedy = f"{error.remedy} {kept}".strip()
        raise type(error)(error.what, file=error.file, row=error.row, remedy=remedy) from error
    write()
