"""Rows → proposals → cleaned rows. Reading, the cleaners in their order, the drops; writing is `prepared.py`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from fewtune.data.clean.base import Cleaner
from fewtune.data.clean.log import Change
from fewtune.data.clean.spaces import Spaces
from fewtune.data.columns import Columns, choose_columns
from fewtune.data.formats.see import see
from fewtune.data.preference_cells import Cells
from fewtune.data.read import read_table
from fewtune.data.readers.base import Table
from fewtune.errors import EmptyData, UnreadableFile
from fewtune.preparing.bench import Bench, Decide, writable_names
from fewtune.preparing.drops import duplicates, empty
from fewtune.preparing.prepared import Prepared
from fewtune.preparing.wishes import Wishes, wishes

MOST_PASSES = 6
"""One cleaner may uncover work for another (an entity that was half of a broken letter): they take turns."""
DROPPERS = {"empty": empty, "duplicates": duplicates}


def prepare(
    source: object,
    *,
    text: str | None = None,
    label: str | None = None,
    group: str | None = None,
    only: Iterable[str] | None = None,
    mask: Iterable[str] = (),
    drop: Iterable[str] = (),
    decide: Decide | None = None,
    decided: Mapping[str, bool] | None = None,
) -> Prepared:
    """Propose cleaner texts for the rows of a file, and take the proposals that lose no meaning.

    Parameters
    ----------
    source : path, Hub name, frame, dataset, list, tuple or mapping
        What `fewtune.read` takes; the rows need no labels.
    text, label, group : str, optional
        Names of columns; text and label are recognised when not named. Labels and groups lose outer spaces only.
    only : iterable of str, optional
        Cleaners to ask, by name: `encoding`, `markup`, `characters`, `spaces`, `boilerplate`. Their proposals are all
        taken. Without it every one looks, and those of `boilerplate`, which can lose meaning, are left open.
    mask : iterable of str
        Kinds of personal data to mask: `email`, `iban`, `card`, `ip`, `phone`, or `all`.
    drop : iterable of str
        Rows to leave out: `duplicates`, `empty`.
    decide : callable, optional
        Asked about every proposal, `(change, left) -> "applied" | "rejected" | "open"`; without it, see `only`.
    decided : mapping, optional
        Decisions made before, by the change's `key`.

    Returns
    -------
    Prepared
        The rows as they are now, the log, and what was found; `save(folder)` writes them.

    Raises
    ------
    DataError
        The file cannot be read, or its columns not be told.
    UsageError
        A name in `only`, `mask` or `drop` is unknown.
    """
    wanted = wishes(only, mask, drop)
    table, columns, answers = _read(source, text=text, label=label, group=group)
    bench = Bench(table, columns, wanted.taken | set(wanted.drop), decide, decided or {}, answers)
    fingerprint = _fingerprint(bench)
    if any(cleaner.name == Spaces.name for cleaner in wanted.cleaners):
        _trim(bench, (columns.label, columns.group))
    for column in bench.text_columns:
        _clean(bench, wanted, column)
    for name in wanted.drop:
        bench.settle(list(DROPPERS[name](bench)))
    return Prepared(bench, wanted, fingerprint)


def _read(
    source: object, *, text: str | None, label: str | None, group: str | None
) -> tuple[Table, Columns, tuple[str, ...]]:
    """The cells, which of their columns is what, and the columns of answers where the rows are preferences."""
    table = writable_names(read_table(source, lines=text is None and label is None))
    if not len(table):
        raise EmptyData("There are no rows.", file=table.source)
    if text is None and label is None and (cells := _preferences(table)) is not None:
        label = "" if cells.pairs else cells.second
        answers = (cells.first, cells.second) if cells.pairs else (cells.first,)
        asked = cells.prompt or cells.first
        columns = choose_columns(table, text=asked, label=label, group=group, id=None, labelled=None)
        columns.notes.append(f"Preferences: answers in {' and '.join(map(repr, answers))}, which are cleaned as well.")
        return table, columns, answers
    if text is None:
        _refuse_records(table, label)
    return table, choose_columns(table, text=text, label=label, group=group, id=None, labelled=None), ()


def _preferences(table: Table) -> Cells | None:
    """The columns of preferences; None where the rows are something else.

    Raises UnreadableFile where their texts stand inside messages, where no cell can be cleaned.
    """
    seen = see(table, text=None, label=None, task=None)
    if seen is None or seen.task != "preference":
        return None
    cells = Cells.of(table)
    if {cells.prompt, cells.first, cells.second} & table.nested:
        raise UnreadableFile(
            "The texts stand inside messages, not in columns of text.",
            file=table.source,
            remedy="Single questions can be made a table first: `fewtune convert FILE rows.csv`.",
        )
    return cells


def _refuse_records(table: Table, label: str | None) -> None:
    """Raises UnreadableFile where the texts stand inside records of another tool, where no cell can be cleaned."""
    seen = see(table, text=None, label=label, task=None)
    if seen is None:
        return
    name = choose_columns(seen.table, text=seen.text, label=seen.label, group=None, id=seen.id, labelled=None).text
    if seen.table.columns[name] != table.columns.get(name):
        raise UnreadableFile(
            "The texts stand inside records of another tool, not in a column.",
            file=table.source,
            remedy="Make a table first and prepare that: `fewtune convert FILE rows.jsonl` (it can be converted back).",
        )


def _clean(bench: Bench, wanted: Wishes, column: str) -> None:
    """Every cleaner in turn over every row; then again over the rows that changed, until none does."""
    moved = set(range(len(bench)))
    for number in range(MOST_PASSES):
        here, moved = sorted(moved), set()
        for cleaner in wanted.cleaners:
            if number == 0:
                cleaner.fit(bench.texts(column))
            moved.update(bench.settle(_proposals(bench, cleaner, here, column)))
        if not moved:
            return


def _proposals(bench: Bench, cleaner: Cleaner, places: Iterable[int], column: str) -> list[Change]:
    found = []
    for place in places:
        if (proposal := cleaner.propose(bench.cell(column, place))) is not None:
            found.append(bench.change(place, column, cleaner.name, proposal.after, proposal.reason))
    return found


def _trim(bench: Bench, names: Iterable[str | None]) -> None:
    """Labels and groups lose outer white space: what is written another way is for a person to decide."""
    for column in names:
        if column is not None:
            bench.settle(list(_outer_spaces(bench, column)))


def _outer_spaces(bench: Bench, column: str) -> Iterable[Change]:
    for place in range(len(bench)):
        cell = bench.cell(column, place)
        if cell.strip() not in ("", cell):
            yield bench.change(place, column, Spaces.name, cell.strip(), "outer white space removed")


def _fingerprint(bench: Bench) -> str:
    """SHA-256 over every cell as it was read, 16 hex digits."""
    digest = hashlib.sha256()
    for name, cells in bench.table.columns.items():
        digest.update(json.dumps([name, cells]).encode())
    return digest.hexdigest()[:16]
