"""The end of a command that tunes: its result and page are written, and a test file is read between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def keep(result: dict[str, Any], folder: Path, *, read_test: Callable[[], object] | None) -> None:
    """Write `result.json` and the page; `read_test` puts into `result` what a test file says, None where none is given.

    What was tuned stands before the test file is looked at: whatever is wrong with it costs no work.
    """
    from fewtune.report.html import write_report
    from fewtune.study.store import write_json

    if read_test is not None:
        write_json(folder / "result.json", result)
        read_test()
    write_json(folder / "result.json", result)
    write_report(folder)
