"""Read `result.json` or `audit.json`, or say what is wrong with it and what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewtune.data.files import written_whole
from fewtune.errors import StoreError

FORMAT = 1
"""The only format this version reads; see RESULT.md and AUDIT.md."""


@dataclass(frozen=True)
class Kind:
    """A file that pages are made from."""

    file: str
    command: str
    called: str
    needed: Mapping[str, type]
    """What no page can do without."""
    again: str
    """What to do where the file is damaged."""


RESULT = Kind(
    "result.json",
    "fewtune fit",
    "result",
    {"winner": dict, "ladder": list, "verdict": dict},
    "Run `fewtune fit` again with the same folder: finished runs are not computed twice.",
)
AUDIT = Kind(
    "audit.json",
    "fewtune check",
    "audit",
    {"verdict": dict, "parts": dict, "findings": list, "checks": list},
    "Run `fewtune check` again.",
)


def check_format(result: Any, where: str | None = None, kind: Kind = RESULT) -> dict[str, Any]:
    """`result` itself when its outer shape is that of format 1.

    Raises
    ------
    StoreError
        It is no object, has another `format`, or lacks a part that no report can do without.
    """
    where = where or kind.file
    if not isinstance(result, dict) or "format" not in result:
        raise StoreError(f"{where} is damaged: it is not a fewtune {kind.called}. {kind.again}")
    found = result["format"]
    if isinstance(found, bool) or found != FORMAT:
        advice = "Update fewtune" if isinstance(found, int) and found > FORMAT else f"Run `{kind.command}` again"
        raise StoreError(f"{where} has format {found!r}; this version of fewtune reads format {FORMAT}. {advice}.")
    for key, shape in kind.needed.items():
        if not isinstance(result.get(key), shape):
            raise StoreError(f"{where} is damaged: its {key!r} is missing or is no {shape.__name__}. {kind.again}")
    return result


def read_result(folder: Path, kind: Kind = RESULT) -> dict[str, Any]:
    """The result that `fewtune fit` (or, of kind `AUDIT`, `fewtune check`) left in `folder`.

    Raises
    ------
    StoreError
        The file is absent, unreadable, no JSON, or of a format this version does not know.
    """
    path = Path(folder) / kind.file
    try:
        return check_format(json.loads(path.read_bytes()), str(path), kind)
    except FileNotFoundError:
        raise StoreError(
            f"{path} does not exist. Name a folder that `{kind.command}` has finished, or run `{kind.command}` first."
        ) from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: it is not whole JSON ({error}). {kind.again}") from error


def write_whole(path: Path, text: str) -> None:
    """Write UTF-8 so that `path` is never seen half written; what UTF-8 cannot hold becomes `?`."""
    try:
        with written_whole(path) as file:
            os.fchmod(file.fileno(), 0o644)  # whatever the umask: a page is meant to be passed on
            file.write(text.encode("utf-8", "replace"))
    except OSError as error:
        advice = "Check the disk space and the folder's permissions."
        raise StoreError(f"{path} cannot be written: {error.strerror}. {advice}") from error
