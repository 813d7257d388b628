"""A classifier outside of memory: a model folder as bytes, for a pickle, and the labels in the type they were given.

A model folder names its classes by strings. Where labels were numbers, `labels_as_given.json` lies beside them.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.classifier.rows import names_of
from fewtune.errors import BackboneDamaged
from fewtune.study.store import advising

if TYPE_CHECKING:
    from fewtune.model_folder import Model

LABELS = "labels_as_given.json"


def packed(folder: Path) -> bytes:
    """Everything in a folder, empty folders too: sentence-transformers wants them."""
    room = io.BytesIO()
    with zipfile.ZipFile(room, "w", strict_timestamps=False) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder).as_posix())
    return room.getvalue()


def unpack(files: bytes, folder: Path) -> None:
    """Write what was `packed`."""
    with zipfile.ZipFile(io.BytesIO(files)) as archive:
        archive.extractall(folder)


def opened(files: bytes) -> Model:
    """The model of a folder that was `packed`. Raises as `fewtune.load` does."""
    from fewtune.model_folder import load

    with tempfile.TemporaryDirectory(prefix="fewtune-", ignore_cleanup_errors=True) as room:
        unpack(files, Path(room))
        return load(room)


def write_labels(classes: Any, folder: Path) -> None:
    """Note the labels beside a saved model, unless they are strings. Raises StoreError."""
    if classes.dtype.kind == "U":
        return
    plain = {"type": str(classes.dtype), "labels": classes.tolist()}
    with advising(folder):
        (folder / LABELS).write_text(json.dumps(plain) + "\n", encoding="utf-8")


def read_labels(folder: Path, names: tuple[str, ...]) -> Any:
    """The labels of a model whose classes have these names, sorted, in their own type; without a note, strings.

    Raises
    ------
    BackboneDamaged : the note is unreadable, or of another model.
    """
    path = folder / LABELS
    if not path.exists():
        return np.unique(np.asarray(names))
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        labels = np.asarray(plain["labels"], dtype=plain["type"])
        if sorted(names_of(labels)) != sorted(names):
            raise ValueError("other classes")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        what = f"{path} is damaged or of another model ({type(error).__name__})."
        raise BackboneDamaged(f"{what} Fit again; without this file the labels are strings.") from error
    return labels


__all__ = ["opened", "packed", "read_labels", "unpack", "write_labels"]
