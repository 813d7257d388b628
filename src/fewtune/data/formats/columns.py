"""Examples as columns, for tables and for what annotation tools call metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fewtune.data.base import Dataset, Example
from fewtune.data.pairs import PAIR
from fewtune.data.readers.base import unique_names

Cells = list[str | None]
WANTED, UNWANTED = "wanted", "unwanted"
"""What single answers of preferences are labelled."""


def texts_of(dataset: Dataset) -> dict[str, Cells]:
    """The text column; each part in its own where a text is of several columns."""
    names = [dataset.text_column, *dataset.pair_columns]
    if len(names) == 1:
        return {names[0]: list(dataset.texts)}
    parts = [text.split(PAIR, len(names) - 1) for text in dataset.texts]
    return {name: [row[place] if place < len(row) else "" for row in parts] for place, name in enumerate(names)}


def about_of(dataset: Dataset, *, taken: Sequence[str] = ()) -> dict[str, Cells]:
    """Id, group, origin and parent where they say something, then the other columns, under names of their own.

    `taken` are names the format uses itself, beside those of texts and labels.
    """
    fields = dict.fromkeys(name for example in dataset for name in example.fields)
    columns: dict[str, Cells] = {name: [example.fields.get(name) for example in dataset] for name in fields}
    used = dict.fromkeys([*texts_of(dataset), dataset.label_column or "label", *taken])
    picks: dict[str, Callable[[Example], str | None]] = {
        "id": lambda example: example.id or None,
        "group": lambda example: example.group,
        "origin": lambda example: example.origin,
        "parent": lambda example: example.parent,
    }
    ours: dict[str, Cells] = {}
    for name, pick in picks.items():
        cells = [pick(example) for example in dataset]
        # The rows' own column of groups is among the others, and found by what it holds (`group_column`).
        if _says_something(name, cells) and not (name == "group" and cells in columns.values()):
            columns.pop(name, None)
            ours[name] = cells
    names = unique_names([*used, *ours, *columns])[len(used) :]
    return dict(zip(names, [*ours.values(), *columns.values()], strict=True))


def _says_something(name: str, cells: Cells) -> bool:
    if name == "id":
        return cells != [str(row) for row in range(1, len(cells) + 1)]
    if name == "origin":
        return any(cell != "given" for cell in cells)
    return any(cell is not None for cell in cells)


def group_column(dataset: Dataset) -> str | None:
    """The column groups are written in: `group`, or the other column that holds the same."""
    groups = [example.group for example in dataset]
    if not any(groups):
        return None
    fields = dict.fromkeys(name for example in dataset for name in example.fields)
    same = (name for name in fields if [example.fields.get(name) for example in dataset] == groups)
    return next(same, "group")


def columns_of(dataset: Dataset) -> dict[str, Cells]:
    """Everything as columns: texts, labels or completions, and the rest."""
    if dataset.task == "preference":
        return preferences_of(dataset)
    columns = texts_of(dataset)
    if any(example.label is not None for example in dataset):
        columns[dataset.label_column or "label"] = [example.label for example in dataset]
    if dataset.task == "generation":
        columns["completion"] = [example.completion for example in dataset]
    return {**columns, **about_of(dataset)}


def preferences_of(dataset: Dataset) -> dict[str, Cells]:
    """Pairs as prompt, chosen and rejected; single answers as prompt, completion and label (true or false)."""
    columns: dict[str, Cells] = {"prompt": list(dataset.texts)}
    if any(example.rejected is not None for example in dataset):
        columns["chosen"] = [example.completion for example in dataset]
        columns["rejected"] = [example.rejected for example in dataset]
    else:
        columns["completion"] = [example.completion for example in dataset]
        columns["label"] = [str(example.label == WANTED).lower() for example in dataset]
    return {**columns, **about_of(dataset, taken=tuple(columns))}


def row_of(columns: dict[str, Cells], place: int) -> dict[str, str]:
    """The cells of one row that are filled."""
    return {name: cell for name, cells in columns.items() if (cell := cells[place]) is not None}
