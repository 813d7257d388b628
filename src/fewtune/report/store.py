"""Read `result.json`, or say what is wrong with it and what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fewtune.data.files import written_whole
from fewtune.errors import StoreError

FORMAT = 1
"""The only format this version reads; see RESULT.md."""
_NEEDED: dict[str, type] = {"winner": dict, "ladder": list, "verdict": dict}
_AGAIN = "Run `fewtune fit` again with the same folder: finished runs are not computed twice."


def check_format(result: Any, where: str = "result.json") -> dict[str, Any]:
    """`result` itself when its outer shape is that of format 1.

    Raises
    ------
    StoreError
        It is no object, has another `format`, or lacks a part that no report can do without.
    """
    if not isinstance(result, dict) or "format" not in result:
        raise StoreError(f"{where} is damaged: it is not a fewtune result. {_AGAIN}")
    found = result["format"]
    if isinstance(found, bool) or found != FORMAT:
        advice = "Update fewtune" if isinstance(found, int) and found > FORMAT else "Run `fewtune fit` again"
        raise StoreError(f"{where} has format {found!r}; this version of fewtune reads format {FORMAT}. {advice}.")
    for key, kind in _NEEDED.items():
        if not isinstance(result.get(key), kind):
            raise StoreError(f"{where} is damaged: its {key!r} is missing or is no {kind.__name__}. {_AGAIN}")
    return result


def read_result(folder: Path) -> dict[str, Any]:
    """The result that `fewtune fit` left in `folder`.

    Raises
    ------
    StoreError
        `result.json` is absent, unreadable, no JSON, or of a format this version does not know.
    """
    path = Path(folder) / "result.json"
    try:
        return check_format(json.loads(path.read_bytes()), str(path))
    except FileNotFoundError:
        raise StoreError(
            f"{path} does not exist. Name a folder that `fewtune fit` has finished, or run `fewtune fit` first."
        ) from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: it is not whole JSON ({error}). {_AGAIN}") from error


def write_whole(path: Path, text: str) -> None:
    """Write UTF-8 so that `path` is never seen half written; what UTF-8 cannot hold becomes `?`."""
    try:
        with written_whole(path) as file:
            os.fchmod(file.fileno(), 0o644)  # whatever the umask: a page is meant to be passed on
            file.write(text.encode("utf-8", "replace"))
    except OSError as error:
        advice = "Check the disk space and the folder's permissions."
        raise StoreError(f"{path} cannot be written: {error.strerror}. {advice}") from error
