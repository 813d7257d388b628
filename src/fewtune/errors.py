"""Every error a person can cause. Each message says what happened, where, and what to do next.

FewtuneError
├── UsageError               an argument or option that cannot be meant
├── DataError                something about a file or its rows
│   ├── UnreadableFile       missing, a folder, no permission, binary, undecodable, malformed
│   ├── EmptyData            no rows, or no row with text
│   ├── ColumnError          a named column is absent, or none can be recognised
│   └── TaskError            rows that make no classification task: one class, numbers to predict, …
├── BackboneError            a pre-trained model that cannot be used
│   ├── BackboneMissing      not on disk and not to be fetched
│   ├── BackboneDamaged      files present but incomplete or inconsistent
│   └── UnsafeWeights        a pickle where safetensors should be: refused
├── StoreError               a result folder that cannot be written or read
├── TrainingDiverged         the loss became NaN or infinite and no attempt recovered
├── OutOfMemory              the smallest step there is does not fit
├── TeamLost                 one of several processes that share a model ended before the others
└── MissingExtra             an optional library is needed: names the extra to install
"""

from __future__ import annotations

from pathlib import Path


class FewtuneError(Exception):
    """Root of the tree. `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(FewtuneError, ValueError):
    """An argument or option that cannot be meant."""

    exit_code = 2


class DataError(FewtuneError, ValueError):
    """Something about a file or its rows.

    Parameters
    ----------
    what : what happened, one sentence without the place.
    file : the file, if there is one.
    row : 1-based number of the data row (the header is not counted), if one row is to blame.
    remedy : what to do next, one sentence.
    """

    exit_code = 2

    def __init__(self, what: str, *, file: str | Path | None = None, row: int | None = None, remedy: str = "") -> None:
        self.what, self.file, self.row, self.remedy = what, file, row, remedy
        place = ", ".join(str(part) for part in (file, f"row {row}" if row is not None else None) if part is not None)
        super().__init__(": ".join(part for part in (place, what) if part) + (f" {remedy}" if remedy else ""))


class UnreadableFile(DataError):
    """Missing, a folder, no permission, binary, undecodable, malformed."""


class EmptyData(DataError):
    """No rows, or no row with text."""


class ColumnError(DataError):
    """A named column is absent, or none can be recognised."""


class TaskError(DataError):
    """Rows that make no classification task."""


class BackboneError(FewtuneError):
    """A pre-trained model that cannot be used."""


class BackboneMissing(BackboneError):
    """Not on disk and not to be fetched."""


DOWNLOAD = "Download the model again."


class BackboneDamaged(BackboneError):
    """Files present but incomplete or inconsistent.

    Parameters
    ----------
    what : which file or folder, and what is wrong with it.
    remedy : how to get a sound one where models come from; left out where `what` says what to do.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what} {remedy}".rstrip())
        self.what, self.remedy = what, remedy

    def of_a_fit(self) -> BackboneDamaged:
        """The same said of a folder that fewtune wrote, which is to be had nowhere else."""
        return BackboneDamaged(self.what, "Fit again, or restore the folder." if self.remedy else "")


class UnsafeWeights(BackboneError):
    """A pickle where safetensors should be."""


class StoreError(FewtuneError):
    """A result folder that cannot be written or read."""


class TrainingDiverged(FewtuneError):
    """The loss became NaN or infinite and no attempt recovered."""


class OutOfMemory(FewtuneError):
    """The smallest step there is does not fit."""


class TeamLost(FewtuneError):
    """One of several processes that share a model ended before the others."""


class MissingExtra(FewtuneError, ImportError):
    """An optional library is needed."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}. Install it with: pip install 'fewtune[{extra}]'")


def kind_of(value: object) -> str:
    """What a value is that should have been a text, to stand after "is": "missing" or "of type int"."""
    absent = value is None or (isinstance(value, float) and value != value) or type(value).__name__ == "NAType"
    return "missing" if absent else f"of type {type(value).__name__}"
