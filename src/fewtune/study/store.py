"""The run store: what is finished is kept the moment it is finished, and never computed again.

Layout of a folder: `study.json` (resolved settings), `runs.jsonl` (one line a finished run), `arrays/KEY.npz` (its
predictions). A line is written only after its array is safely on disk, so a line means the run is whole; a torn last
line, left by a kill, is passed over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.data.files import written_whole
from fewtune.errors import StoreError
from fewtune.methods.base import TrainingLog, Written
from fewtune.tune.run import Outcome

REJECTED = "rejected_"
"""Before the names of what rejected answers cost."""


class RunStore:
    """Finished runs of one folder, by key.

    Raises
    ------
    StoreError : the folder cannot be written (no permission, disk full), with what to do.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with advising(folder):
            (folder / "arrays").mkdir(parents=True, exist_ok=True)
            self._lines = {line["key"]: line for line in read_lines(folder / "runs.jsonl")}

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, key: str) -> Outcome | None:
        """The outcome of a finished run, or None."""
        line = self._lines.get(key)
        if line is None:
            return None
        try:
            with self._array(key).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                probs, written, rejected = arrays["probs"], _written(arrays), _written(arrays, REJECTED)
            log = TrainingLog(**line["log"]) if line["log"] else None
            notes = tuple(map(str, line["notes"]))
            return Outcome(
                probs, float(line["seconds"]), log, notes, int(line["trainable_parameters"]), written, rejected
            )
        # Array or line was deleted or damaged: the run is done again.
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None

    def put(self, key: str, outcome: Outcome, about: dict[str, Any]) -> None:
        """Keep a finished run; `about` is what a person wants to read in the list of runs."""
        with advising(self.folder):
            with written_whole(self._array(key)) as file:
                arrays = _arrays(outcome.written) | _arrays(outcome.rejected, REJECTED)
                np.savez(file, probs=outcome.probs, **arrays)
            log = None if outcome.log is None else dataclasses.asdict(outcome.log)
            line = {"key": key, **about, "seconds": outcome.seconds, "notes": list(outcome.notes), "log": log}
            line["trainable_parameters"] = outcome.trainable_parameters
            append_line(self.folder / "runs.jsonl", line)
        self._lines[key] = line

    def write_json(self, name: str, value: Any) -> Path:
        """Write `value` whole or not at all."""
        return write_json(self.folder / name, value)

    def _array(self, key: str) -> Path:
        return self.folder / "arrays" / f"{key}.npz"


def _arrays(written: Written | None, prefix: str = "") -> dict[str, Any]:
    """What a writer made of rows, as arrays; its texts as UTF-8 JSON, since NumPy would cut zeros off their ends."""
    if written is None:
        return {}
    arrays = {"nll": written.nll, "tokens": written.tokens, "bytes": written.bytes}
    if written.texts is not None:
        arrays["texts"] = np.frombuffer(json.dumps(written.texts).encode(), dtype=np.uint8)
    return {prefix + name: array for name, array in arrays.items()}


def _written(arrays: Any, prefix: str = "") -> Written | None:
    if f"{prefix}nll" not in arrays:
        return None
    told = f"{prefix}texts"
    texts = tuple(map(str, json.loads(arrays[told].tobytes()))) if told in arrays else None
    return Written(arrays[f"{prefix}nll"], arrays[f"{prefix}tokens"], arrays[f"{prefix}bytes"], texts)


def write_json(path: Path, value: Any) -> Path:
    """Write JSON whole or not at all."""
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write a text file whole or not at all."""
    with advising(path.parent), written_whole(path) as file:
        file.write(text.encode("utf-8", "surrogatepass"))
    return path


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a JSON-lines file; torn ones are passed over, an absent file has none."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for raw in file:
            try:
                line = json.loads(raw)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict) and isinstance(line.get("key"), str):
                yield line


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Add one line in a single write, then force it to disk; starts a new line if the last one is torn."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        data = (b"\n" if torn else b"") + json.dumps(line).encode() + b"\n"
        if os.write(descriptor, data) < len(data):  # what stands there now is torn, and passed over
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def advising(folder: Path) -> Iterator[None]:
    """Turns the operating system's refusals into errors that say what to do."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError(f"{folder} is a file, not a folder, or lies inside one. Give another --out.") from error
    except PermissionError as error:
        raise StoreError(f"{folder} cannot be written: no permission. Give another --out.") from error
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written: {error.strerror or error}. Free some space or give another --out; "
            "what is finished is kept, and the same command goes on from there."
        ) from error
