"""`splits.json`: which rows are learned from and which are tested, for whom to check, and for what rows it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.data.base import Dataset
from fewtune.data.files import written_whole
from fewtune.data.splits import Split
from fewtune.errors import StoreError, UnreadableFile, UsageError

FORMAT = 1
REMEDY = "Make it with `fewtune split`."


def rows_fingerprint(dataset: Dataset) -> str:
    """SHA-256 over texts, labels and ids in order, 16 hex digits: what splits are made for, whatever the groups."""
    digest = hashlib.sha256()
    for example in dataset:
        said = [example.text, example.label, example.id, example.completion]
        said += [] if example.rejected is None else [example.rejected]
        digest.update(json.dumps(said, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class SplitFile:
    """Splits of one dataset, as they are written."""

    splits: tuple[Split, ...]
    inner: tuple[tuple[Split, ...], ...]
    """The inner folds of each split; empty where the splits are not nested."""
    data: Mapping[str, Any]
    """Source, columns, and the fingerprint of the rows."""
    settings: Mapping[str, Any]
    """What was asked for: folds, repeats, seed, group, time, nested."""
    numbers: tuple[int, ...]
    """1-based row number in the source, of each row."""
    ids: tuple[str, ...]
    notes: tuple[str, ...] = ()
    holdout: Mapping[str, Any] | None = None
    """Where a test file was set aside: which rows of the original are in it."""
    path: str = field(default="", compare=False)

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        splits: Sequence[Split],
        *,
        inner: Sequence[Sequence[Split]] = (),
        settings: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
        holdout: Mapping[str, Any] | None = None,
    ) -> SplitFile:
        """Splits of `dataset`'s rows, by index."""
        columns = {"text": dataset.text_column, "pair": list(dataset.pair_columns), "label": dataset.label_column}
        about = {"source": dataset.source, "rows": len(dataset), **columns, "fingerprint": rows_fingerprint(dataset)}
        about |= {"task": dataset.task} if dataset.task == "preference" else {}
        return cls(
            tuple(splits),
            tuple(tuple(folds) for folds in inner),
            about,
            dict(settings or {}),
            tuple(example.row for example in dataset),
            tuple(example.id for example in dataset),
            tuple(dict.fromkeys([*notes, *(split.note for split in splits if split.note)])),
            holdout,
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the rows' fingerprint, the settings and every split; 16 hex digits."""
        parts = [self.data["fingerprint"], dict(self.settings), self._plain_splits()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def _plain_splits(self) -> list[dict[str, Any]]:
        plain = []
        for number, split in enumerate(self.splits):
            plain.append({"repeat": split.repeat, "fold": split.fold, **_rows_of(split)})
            if self.inner:
                plain[-1]["inner"] = [{"fold": one.fold, **_rows_of(one)} for one in self.inner[number]]
        return plain

    def to_json(self) -> dict[str, Any]:
        """Plain values: `train` and `test` are 0-based places in `rows`."""
        rows = [{"row": row, "id": name} for row, name in zip(self.numbers, self.ids, strict=True)]
        return {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "data": dict(self.data),
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "holdout": None if self.holdout is None else dict(self.holdout),
            "rows": rows,
            "splits": self._plain_splits(),
        }

    def write(self, path: str | Path) -> Path:
        """Write it whole. Raises StoreError."""
        path = Path(path)
        text = json.dumps(self.to_json(), ensure_ascii=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as file:
                file.write(text.encode("utf-8", "replace") + b"\n")
        except OSError as error:
            raise StoreError(f"{path} cannot be written ({error.strerror or error}). Name another folder.") from error
        return path

    @classmethod
    def read(cls, path: str | Path) -> SplitFile:
        """Read what `write` wrote.

        Raises
        ------
        UnreadableFile : it is missing, damaged, changed by hand, or of another format.
        """
        path = Path(path)
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            if plain["format"] != FORMAT:
                what = f"It has format {plain['format']}, this fewtune reads {FORMAT}."
                raise UnreadableFile(what, file=path, remedy=REMEDY)
            found = cls._of_json(plain, str(path))
        except FileNotFoundError as error:
            raise UnreadableFile("There is no such file.", file=path, remedy=REMEDY) from error
        except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            if isinstance(error, UnreadableFile):
                raise
            what = f"This is no file of splits ({type(error).__name__}: {str(error)[:100]})."
            raise UnreadableFile(what, file=path, remedy=REMEDY) from error
        if found.fingerprint != plain["fingerprint"]:
            what = "The splits are not those that were written: its fingerprint does not fit."
            raise UnreadableFile(what, file=path, remedy="Make them again with `fewtune split`.")
        return found

    @classmethod
    def _of_json(cls, plain: Mapping[str, Any], path: str) -> SplitFile:
        count = len(plain["rows"])
        splits = [_split_of(one, count) for one in plain["splits"]]
        inner = [tuple(_split_of(fold, count) for fold in one.get("inner", ())) for one in plain["splits"]]
        if not splits or plain["data"]["rows"] != count:
            raise ValueError("no splits, or rows that do not add up")
        return cls(
            tuple(splits),
            tuple(inner) if any(inner) else (),
            dict(plain["data"]),
            dict(plain["settings"]),
            tuple(int(row["row"]) for row in plain["rows"]),
            tuple(str(row["id"]) for row in plain["rows"]),
            tuple(map(str, plain["notes"])),
            plain["holdout"],
            path,
        )

    def check(self, dataset: Dataset) -> None:
        """Raises UsageError unless the splits were made for exactly these rows."""
        if rows_fingerprint(dataset) == self.data["fingerprint"]:
            return
        name = self.path or "The splits"
        if len(dataset) != len(self.ids):
            why = f"they have {len(self.ids)} rows, this file has {len(dataset)}"
        else:
            ids = [example.id for example in dataset]
            odd = next(
                (place for place, pair in enumerate(zip(ids, self.ids, strict=True)) if pair[0] != pair[1]), None
            )
            why = (
                "a text or a label has changed since"
                if odd is None
                else f"row {odd + 1} has the id {ids[odd]!r}, not {self.ids[odd]!r}"
            )
        raise UsageError(
            f"{name} was made for other rows ({self.data['source']}): {why}. Give the file it was made for with the "
            "same --text and --label, or make splits for this one: fewtune split."
        )


def _rows_of(split: Split) -> dict[str, list[int]]:
    return {"train": split.train.tolist(), "test": split.test.tolist()}


def _split_of(plain: Mapping[str, Any], count: int) -> Split:
    """Raises ValueError for rows that are not there, stand twice or on both sides, and for an empty side."""
    sides = [np.asarray(plain[side], dtype=np.int64) for side in ("train", "test")]
    rows = np.concatenate(sides)
    if not all(len(side) for side in sides) or len(np.unique(rows)) != len(rows):
        raise ValueError("a side of a split is empty, or a row stands twice in it")
    if rows.min() < 0 or rows.max() >= count:
        raise ValueError("a split names a row that is not there")
    return Split(int(plain.get("repeat", 0)), int(plain["fold"]), np.sort(sides[0]), np.sort(sides[1]))


def splits_of(given: object, dataset: Dataset) -> tuple[Split, ...]:
    """Splits from whatever a person has: a path, a `SplitFile`, `Split`s, or (train, test) pairs of row indices.

    Raises
    ------
    UsageError, UnreadableFile : they are for other rows, or no splits at all.
    """
    if isinstance(given, str | Path):
        given = SplitFile.read(given)
    if isinstance(given, SplitFile):
        given.check(dataset)
        return given.splits
    if not isinstance(given, Sequence) or not given:
        raise UsageError("splits must be a path to splits.json, a SplitFile, or a list of (train, test) pairs.")
    found = []
    for number, one in enumerate(given):
        if isinstance(one, Split):
            one = (one.train, one.test)
        try:
            plain = {"fold": number, "train": list(one[0]), "test": list(one[1])}
            found.append(given[number] if isinstance(given[number], Split) else _split_of(plain, len(dataset)))
            _split_of(plain, len(dataset))
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise UsageError(f"splits[{number}] is no pair of training and test rows: {error}.") from error
    return tuple(found)
