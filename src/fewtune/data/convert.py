"""Write a dataset in another format, and say what the format could not hold.

What is lost is not looked up but found out: what was written is read again, and held against what was to be written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fewtune.data.base import Dataset, Example
from fewtune.data.formats.base import Format, Record, turns_of
from fewtune.data.formats.columns import columns_of, group_column
from fewtune.data.formats.preferences import Preferences
from fewtune.data.formats.registry import FORMATS
from fewtune.data.formats.see import see
from fewtune.data.preference_shapes import as_pairs, as_singles, as_written
from fewtune.data.read import dataset_of
from fewtune.data.readers.base import table_of_columns, table_of_records
from fewtune.data.readers.hub import is_saved
from fewtune.data.write import write_file, write_table
from fewtune.errors import DataError, UsageError

TABLES = {"csv": ".csv", "tsv": ".tsv", "jsonl": ".jsonl", "parquet": ".parquet"}
FOLDER = "hub"
NAMES = (*FORMATS, *TABLES, FOLDER)
"""Every format that can be written."""


@dataclass(frozen=True)
class Converted:
    """What was written."""

    path: Path
    format: str
    rows: int
    lost: tuple[str, ...]
    """What the format cannot hold, in sentences; empty where reading gives back all there was."""


def convert(dataset: Dataset, path: str | Path, *, to: str | None = None, overwrite: bool = False) -> Converted:
    """Write `dataset` to `path`.

    Parameters
    ----------
    to : a name of `NAMES`; by the ending of `path` when not given (a table then, or a Hub dataset's folder without).
    overwrite : whether what stands at `path` may be replaced.

    Raises
    ------
    UsageError : no such format, rows of a task it does not hold, or something stands at `path`.
    StoreError : the file cannot be written.
    """
    path = Path(path)
    to = to or _by_ending(path)
    if not overwrite:
        refuse_loss(path)
    if to == FOLDER:
        from fewtune.data.readers.hub import write_folder

        write_folder(columns_of(dataset), dataset.label_column or "label", path)
        return Converted(path, to, len(dataset), _lost_in_table(dataset))
    if to in TABLES:
        if path.suffix.lower() != TABLES[to]:
            raise UsageError(f"{path}: a file of {to} ends in {TABLES[to]}.")
        return Converted(write_table(path, columns_of(dataset)), to, len(dataset), _lost_in_table(dataset))
    if to not in FORMATS:
        raise UsageError(f"There is no format called {to!r}. Known: {', '.join(NAMES)}.")
    kind = FORMATS[to]
    _refuse_other_task(dataset, kind)
    dataset, told = shaped(dataset, kind)
    records = list(kind.write(dataset))
    _write_records(path, records, lines=path.suffix.lower() == ".jsonl" or kind.suffix == ".jsonl")
    return Converted(path, to, len(dataset), (*told, *lost(dataset, kind, records)))


def _refuse_other_task(dataset: Dataset, kind: Format) -> None:
    """Raises UsageError where a format holds labels or preferences, and there are none."""
    held = {"classification": "labels", "preference": "preferences"}.get(kind.task)
    if held is None or kind.task == dataset.task:
        return
    kinds = ", ".join(name for name, other in FORMATS.items() if other.task == dataset.task) or "jsonl, parquet, csv"
    rows = dataset.task.replace("_", " ")
    raise UsageError(f"{kind.name} files hold {held}, and these rows are for {rows}. Write one of: {kinds}.")


def shaped(dataset: Dataset, kind: Format) -> tuple[Dataset, list[str]]:
    """Preferences as a format holds them: as pairs, as single answers, or what was chosen and no more.

    Raises UsageError where nothing is left.
    """
    if dataset.task != "preference":
        return dataset, []
    if isinstance(kind, Preferences):
        made, told = as_pairs(dataset) if kind.pairs else as_singles(dataset)
    else:
        made, told = as_written(dataset)
    if not len(made):
        raise UsageError(f"Nothing is left to write as {kind.name}. {' '.join(told)}")
    return made, told


def refuse_loss(path: Path) -> None:
    """Raises UsageError where a file or a saved dataset would be replaced; a folder of anything else never is."""
    if is_saved(path) if path.is_dir() else path.exists():
        raise UsageError(f"{path} is there already: it would be replaced. Name another, or give --overwrite.")


def _by_ending(path: Path) -> str:
    found = {suffix: name for name, suffix in TABLES.items()}.get(path.suffix.lower())
    if found is None and path.suffix:
        known = ", ".join(NAMES)
        raise UsageError(f"{path}: the ending does not say which format is meant. Say it with --to: {known}.")
    return found or FOLDER


def _write_records(path: Path, records: Sequence[Record], *, lines: bool) -> None:
    plain = [json.dumps(record, ensure_ascii=False) for record in records]
    text = "".join(f"{line}\n" for line in plain) if lines else "[\n" + ",\n".join(plain) + "\n]\n"
    data = text.encode("utf-8", errors="replace")
    write_file(path, lambda file: _all(file, data))


def _all(file: IO[bytes], data: bytes) -> None:
    file.write(data)


def lost(dataset: Dataset, kind: Format, records: Sequence[Record]) -> tuple[str, ...]:
    """What reading the records again does not give back."""
    table = table_of_records(records, dataset.source)
    task = dataset.task if kind.task != dataset.task else None
    try:
        seen = see(table, text=None, label=None, task=task)
        assert seen is not None, "a format knows what it writes"
        group = group_column(dataset)
        again = dataset_of(table, labelled=None, task=task, group=group if group in seen.table.columns else None)
    except DataError as error:
        return (f"{kind.title}: what is written cannot be read again ({error.what})",)
    return tuple(_differences(dataset, again, kind.title[0].upper() + kind.title[1:]))


def _lost_in_table(dataset: Dataset) -> tuple[str, ...]:
    columns = columns_of(dataset)
    plain = dataset.task != "preference"  # which is read by its columns' names
    generation = dataset.task == "generation"
    label = "completion" if generation else dataset.label_column or "label"
    group = group_column(dataset)
    try:
        again = dataset_of(
            table_of_columns(columns, dataset.source),
            text=dataset.text_column if plain else None,
            label=label if plain and label in columns else None,
            group=group if group in columns else None,
            pair=dataset.pair_columns,
            labelled=False,
            task=dataset.task if generation or not plain else None,
        )
    except DataError as error:
        return (f"What is written cannot be read again ({error.what})",)
    return tuple(_differences(dataset, again, "A table"))


ASPECTS: dict[str, Callable[[Example], object]] = {
    "texts": lambda example: example.text,
    "labels": lambda example: example.label,
    "ids": lambda example: example.id,
    "groups": lambda example: example.group,
    "origins and parents": lambda example: (example.origin, example.parent),
    "completions": lambda example: example.completion,
    "rejected answers": lambda example: example.rejected,
    "turns of conversations": lambda example: [(turn.role, turn.content) for turn in turns_of(example)],
    "other columns": lambda example: {name: cell for name, cell in example.fields.items() if cell},
}


ANSWERS = ("completions", "rejected answers", "turns of conversations")
"""Of rows that hold what is to be written."""


def _differences(given: Dataset, again: Dataset, title: str) -> list[str]:
    if len(given) != len(again):
        return [f"{title} give back {len(again)} of {len(given)} rows."]
    said = []
    for aspect, pick in ASPECTS.items():
        pairs = list(zip(given, again, strict=True))
        if aspect == "labels" and given.task != again.task:  # labels are written as what is to be said
            changed = sum(a.label != b.completion for a, b in pairs)
        elif aspect in ANSWERS and given.task not in ("generation", "preference"):
            continue
        elif aspect == "other columns":
            changed = sum(not _kept(a, b) for a, b in pairs)
        else:
            changed = sum(pick(a) != pick(b) for a, b in pairs)
        if changed:
            said.append(f"{title} cannot hold the {aspect} of {changed} of {len(given)} rows.")
    return said


def _kept(before: Example, after: Example) -> bool:
    """Whether every other column is still there; a group may stand in one."""
    mine, theirs = (ASPECTS["other columns"](example) for example in (before, after))
    assert isinstance(mine, dict)
    assert isinstance(theirs, dict)
    return all(theirs.get(name) == cell or after.group == cell for name, cell in mine.items())
