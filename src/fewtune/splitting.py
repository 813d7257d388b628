"""`fewtune split`, end to end: a test file set aside and locked, and splits of what is left.

Copies and near copies of a text are kept together with its group, whoever names the groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.audit.duplicates import duplicate_clusters, groups_of
from fewtune.data.base import Dataset
from fewtune.data.exchanges import prompt_key
from fewtune.data.formats.columns import columns_of, group_column
from fewtune.data.formats.see import see
from fewtune.data.nested import nested as nested_folds
from fewtune.data.read import dataset_of, read, read_table
from fewtune.data.readers.base import Table, table_of_columns
from fewtune.data.split_file import SplitFile
from fewtune.data.splits import Split, holdout, repeated_folds
from fewtune.data.test_lock import lock, lock_path, readings_path
from fewtune.data.time_splits import forward_folds, latest
from fewtune.data.times import times_of
from fewtune.data.write import write_table
from fewtune.errors import TaskError, UsageError
from fewtune.plural import counted
from fewtune.preparing.prepared import KEPT_FORMAT, check_format, writable
from fewtune.seeds import check_seed

FOLDS = 5
INNER_FOLDS = 3
SPLITS, TRAIN, TEST, LEFT_OUT = "splits.json", "train", "test", "left_out"


@dataclass(frozen=True)
class Wanted:
    """What kind of splits."""

    folds: int = FOLDS
    repeats: int = 1
    inner: int | None = None
    """Folds inside each training part; None: not nested."""
    time: str | None = None
    """Column by which the past is learned from and the future tested."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.time is not None and self.repeats != 1:
            raise UsageError("There is one order in time, so splits by time are not repeated. Leave out --repeats.")
        if self.inner is not None and self.inner < (1 if self.time else 2):
            raise UsageError(f"Inner folds must be 2 or more, not {self.inner}.")
        check_seed(self.seed)


@dataclass(frozen=True)
class Written:
    """What was written, and where."""

    splits: SplitFile
    files: Mapping[str, Path]
    """`splits`, and with a test share `train`, `test`, `lock`, and maybe `left_out`."""
    notes: tuple[str, ...] = ()


def split(dataset: Dataset, wanted: Wanted | None = None, *, holdout_of: Mapping[str, Any] | None = None) -> SplitFile:
    """Splits of a dataset: stratified, with its groups and copies together, or by time.

    Parameters
    ----------
    holdout_of : where a test file was set aside before, what is said of it in the file.

    Raises
    ------
    DataError, UsageError : rows that cannot be split so, with what to do.
    """
    wanted = wanted or Wanted()
    labels, groups = [example.label for example in dataset], together_in(dataset)
    times = None if wanted.time is None else times_of(dataset, wanted.time)
    if times is not None:
        splits = forward_folds(times, groups, folds=wanted.folds)
    else:
        splits = repeated_folds(labels, groups, folds=wanted.folds, repeats=wanted.repeats, seed=wanted.seed)
    inner: list[tuple[Split, ...]] = []
    if wanted.inner is not None:
        inner = nested_folds(splits, labels, groups, folds=wanted.inner, seed=wanted.seed, times=times)
    together = len(dataset) - len(set(groups))
    shared = "a prompt" if dataset.task == "preference" else "a text"
    rows = counted(together, "row shares", "rows share")
    notes = [f"{rows} a group or {shared} with another: kept on its side."] if together else []
    if not dataset.classes:
        notes.append("There are no labels to spread evenly: the rows are dealt at random.")
    elif dataset.task == "preference":
        notes.append("Wanted and unwanted answers are spread evenly.")
    settings = {
        "kind": "time" if times is not None else "stratified" if dataset.classes else "random",
        "folds": wanted.folds,
        "repeats": wanted.repeats,
        "inner_folds": wanted.inner,
        "time": wanted.time,
        "grouped": any(example.group is not None for example in dataset),
        "seed": wanted.seed,
    }
    return SplitFile.of(dataset, splits, inner=inner, settings=settings, notes=notes, holdout=holdout_of)


def together_in(dataset: Dataset) -> list[int]:
    """[N] what no split may part: groups, families, equal and nearly equal texts.

    Of preferences the texts are all that was said before the answers: many conversations end with the same words.
    """
    if dataset.task != "preference":
        return groups_of(dataset)
    return groups_of(dataset, duplicate_clusters([prompt_key(example) for example in dataset]))


def set_aside(dataset: Dataset, share: float, wanted: Wanted) -> Split:
    """Rows for a locked test set: stratified, or the newest; no group or text on both sides.

    Raises
    ------
    TaskError : no row can be spared.
    """
    groups = together_in(dataset)
    if wanted.time is not None:
        return latest(times_of(dataset, wanted.time), groups, share=share)
    labels = [example.label for example in dataset]
    found = holdout(labels, groups, share=share, seed=wanted.seed)
    if not len(found.test):
        what = "No row can be set aside: each group, or set of nearly equal texts, holds all there is of a class."
        raise TaskError(what, file=dataset.source, remedy="Add rows, or check the group column.")
    return found


def write(
    source: str | Path,
    folder: str | Path,
    wanted: Wanted | None = None,
    *,
    test: float | None = None,
    format: str | None = None,
    **columns: Any,
) -> Written:
    """Split a file: `splits.json`, and with `test` a training file and a locked test file, every column kept.

    The splits are then those of the training file that is written, which is what to give to `fewtune fit`.

    Parameters
    ----------
    test : share of the rows to set aside.
    format : `csv`, `tsv`, `jsonl` or `parquet`; the source's own when not given.
    columns : `text`, `label`, `group`, `id`, `pair` and `task`, as `fewtune.read` takes them.

    Raises
    ------
    DataError, UsageError, StoreError : with what to do.
    """
    wanted, folder = wanted or Wanted(), Path(folder)
    if test is None:
        dataset = read(source, labelled=None, **columns)
        made = split(dataset, wanted)
        return Written(made, {"splits": made.write(folder / SPLITS)}, dataset.notes)
    if not 0 < test < 1:
        raise UsageError(f"--test is a share of the rows between 0 and 1, such as 0.2, not {test}.")
    check_format(format)
    table = read_table(source)
    dataset = dataset_of(table, labelled=None, **columns)
    aside = set_aside(dataset, test, wanted)
    suffix = format or KEPT_FORMAT.get(Path(str(source)).suffix.lower(), "csv")
    seen = see(table, text=columns.get("text"), label=columns.get("label"), task=columns.get("task"))
    if seen is not None and dataset.task == "classification":
        # Records of an annotation tool may be several to a row; what was made of them is written.
        table = table_of_columns(columns_of(dataset), dataset.source, rows=[example.row for example in dataset])
        columns = {"group": group_column(dataset)}
    files = _write_parts(table, dataset, aside, folder, suffix)
    about = _about(dataset, aside, test, wanted)
    named = _named(columns, dataset)
    files["lock"] = lock(read(files["test"], labelled=False, **named), about=about)
    rest = read(files["train"], labelled=None, **named)
    made = split(rest, wanted, holdout_of={"file": files["test"].name, **about})
    files["splits"] = made.write(folder / SPLITS)
    notes = (*dataset.notes, *((aside.note,) if aside.note else ()))
    return Written(made, files, notes)


def _write_parts(table: Table, dataset: Dataset, aside: Split, folder: Path, suffix: str) -> dict[str, Path]:
    """The rows as they were read, each in one of the files. Rows that could not be read are in none."""
    place = {row: number for number, row in enumerate(table.rows)}
    left_out = np.setdiff1d(np.arange(len(dataset)), np.concatenate([aside.train, aside.test]))
    parts = {TRAIN: aside.train, TEST: aside.test, LEFT_OUT: left_out}
    paths = {name: folder / f"{name}.{suffix}" for name in parts}
    _refuse_loss(paths, dataset)
    files: dict[str, Path] = {}
    for name, rows in parts.items():
        if not len(rows):
            continue
        places = [place[dataset.examples[row].row] for row in rows.tolist()]
        cells = {column: [values[number] for number in places] for column, values in table.values.items()}
        files[name] = write_table(paths[name], writable(cells, f".{suffix}"))
    return files


def _refuse_loss(paths: Mapping[str, Path], dataset: Dataset) -> None:
    """Raises UsageError where a file would be replaced: the source, a test set that is locked, or any other."""
    for path in paths.values():
        if path.exists() and Path(dataset.source).exists() and path.samefile(dataset.source):
            raise UsageError(f"{path} is the file that is read: it would be replaced. Name another folder with --out.")
    test = paths[TEST]
    if lock_path(test).exists() or readings_path(test).exists():
        raise UsageError(
            f"{test} is locked already: drawing another test set in its place would hide what was read of it. "
            "Name another folder with --out."
        )
    if held := [path for path in paths.values() if path.exists()]:
        raise UsageError(f"{held[0]} is there already: it would be replaced. Name another folder with --out.")


def _about(dataset: Dataset, aside: Split, share: float, wanted: Wanted) -> dict[str, Any]:
    return {
        "from": dataset.source,
        "share": share,
        "time": wanted.time,
        "seed": wanted.seed,
        "original_rows": [dataset.examples[row].row for row in aside.test.tolist()],
        "original_train_rows": [dataset.examples[row].row for row in aside.train.tolist()],
    }


def _named(columns: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    """The columns chosen for the whole file, so that its parts are read the same way."""
    if dataset.task != "classification":
        return dict(columns)
    chosen = {"text": dataset.text_column, "label": dataset.label_column, "pair": dataset.pair_columns}
    return {**columns, **{role: name for role, name in chosen.items() if name}}
