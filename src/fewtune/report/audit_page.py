"""`audit.json` → one HTML page that asks the network for nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewtune.errors import StoreError
from fewtune.report.page import Section, draw
from fewtune.report.sections import audit
from fewtune.report.store import AUDIT, check_format, read_result, write_whole

SECTIONS = (
    Section("next", "What to do next", "What to do next", audit.advice, "steps"),
    Section("blocks", "What would invalidate a result", "Invalidates", audit.findings("blocks"), "findings"),
    Section("warnings", "Worth mending", "Worth mending", audit.findings("warning"), "findings"),
    Section("notes", "Good to know", "Good to know", audit.findings("note"), "findings"),
    Section("sizes", "The classes", "The classes", audit.classes),
    Section("fine", "Looked at and found fine", "Found fine", audit.fine, "checked"),
    Section("left", "Not looked at", "Not looked at", audit.left_out, "checked"),
    Section("read", "What was read", "What was read", audit.data),
    Section("again", "How to get this again", "Reproduce", audit.reproduce),
)
"""In the order of the page: what to do, then what was found, the gravest first."""


def render(found: Mapping[str, Any]) -> str:
    """The whole page of an `audit.json` of format 1 (see AUDIT.md). Raises StoreError where it is of another format."""
    whole = check_format(dict(found), kind=AUDIT)
    return draw("audit.html", audit.headline(whole), SECTIONS, whole)


def write_audit(folder: Path, found: Mapping[str, Any]) -> Path:
    """Write `audit.json` and `audit.html` into `folder`, which is made; says where the page is.

    Raises
    ------
    StoreError
        One of them cannot be written: disk full, no permission, a file where the folder should be.
    """
    page = render(found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}. Name another folder with --out.") from error
    write_whole(folder / AUDIT.file, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    write_whole(folder / "audit.html", page)
    return folder / "audit.html"


def rewrite_audit(folder: Path) -> Path:
    """Read `folder/audit.json` and write `audit.html` again. Raises StoreError; the old page is then left as it was."""
    found = read_result(folder, AUDIT)
    try:
        page = render(found)
    except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise StoreError(
            f"{Path(folder) / AUDIT.file} is damaged: {type(error).__name__}: {error}. {AUDIT.again}"
        ) from error
    write_whole(Path(folder) / "audit.html", page)
    return Path(folder) / "audit.html"
