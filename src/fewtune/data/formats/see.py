"""Between reader and columns: whether a table is really another format's records, and what its examples then are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fewtune.data.base import Example, Message, Task
from fewtune.data.formats.base import ASSISTANT, Record, Seen
from fewtune.data.formats.odd import refuse_odd
from fewtune.data.formats.preferences import Preferences, only_wanted
from fewtune.data.formats.registry import recognised
from fewtune.data.readers.base import Table, sound
from fewtune.errors import ColumnError, UsageError

SIGNS = frozenset(
    (
        "data",
        "fields",
        "inputs",
        "cats",
        "accept",
        "answer",
        "messages",
        "conversations",
        "instruction",
        "prompt",
        "chosen",
    )
)
"""A format's records have one of these columns; most tables have none, and are not looked at row by row."""
COMPLETIONS = ("completion", "output", "response", "answer", "target")
TASKS = ("classification", "generation", "language_modelling", "preference")


def see(table: Table, *, text: str | None, label: str | None, task: Task | None, whole: bool = False) -> Seen | None:
    """What a known format makes of the table; None where it is a table and no more.

    Naming columns says that it is a table, unless its records can be read as nothing but their format. `whole`: every
    row must have what is to be written after it, as in a file to learn from.

    Raises
    ------
    UsageError, DataError : no such task, or what the format finds wrong.
    """
    if task is not None and task not in TASKS:
        raise UsageError(f"There is no task {task!r} to read rows for. Known: {', '.join(TASKS)}.")
    seen = None
    if task == "language_modelling":
        return None
    if task == "preference":
        return Preferences().read([], table, label=None)
    if SIGNS & set(table.columns):
        records = records_of(table)
        kind = recognised(records, strict=text is not None or (label is not None and task != "classification"))
        seen = None if kind is None else kind.read(records, table, label=label)
        if kind is None and whole and task != "classification" and text is None and label is None:
            refuse_odd(records, table)
    if seen is not None and seen.task == "preference":
        return None if task == "classification" else only_wanted(seen) if task == "generation" else seen
    if seen is None:
        return _named(table, text, label, whole) if task == "generation" else None
    if seen.task == "generation" and task != "generation" and (task is not None or label is not None):
        named = label or seen.completion
        seen = replace(seen, task="classification", label=named, completion=None, conversations=())
    return seen


def records_of(table: Table) -> list[Record]:
    """The rows as they were before they became columns, empty cells left out."""
    values = table.values or table.columns
    rows = zip(*values.values(), strict=True)
    return [{n: cell for n, cell in zip(values, row, strict=True) if cell is not None} for row in rows]


def _named(table: Table, text: str | None, label: str | None, whole: bool) -> Seen:
    """A table whose rows are to be read as prompts and completions; `label` names the column of completions."""
    found = label or next((name for name in COMPLETIONS if name in table.columns and name != text), None)
    if found is None and whole:
        listing = f"Name it with --label. Columns: {', '.join(map(repr, list(table.columns)[:20]))}."
        what = f"No column holds what is to be written: none is called {', '.join(COMPLETIONS)}."
        raise ColumnError(what, file=table.source, remedy=listing)
    if found is not None and found not in table.columns:
        listing = f"Columns: {', '.join(map(repr, list(table.columns)[:20]))}."
        raise ColumnError(f"There is no column {found!r} for what is to be written.", file=table.source, remedy=listing)
    prompt = text or ("prompt" if "prompt" in table.columns else None)
    return Seen(table, "generation", text=prompt, completion=found)


def with_completions(examples: Sequence[Example], seen: Seen) -> list[Example]:
    """Examples with what is to be written after them, and the conversation they are from where it is more."""
    place = {row: number for number, row in enumerate(seen.table.rows)}
    completions = seen.table.columns[seen.completion] if seen.completion else None
    rejected = seen.table.columns[seen.rejected] if seen.rejected else None
    made = []
    for example in examples:
        number = place[example.row]
        cell = completions[number] if completions else None
        said = None if cell is None else sound(cell)
        turns = [Message(turn.role, sound(turn.content)) for turn in _conversation(seen, number)]
        plain = [Message("user", example.text)] + ([] if said is None else [Message(ASSISTANT, said)])
        others = {name: cell for name, cell in example.fields.items() if name not in (seen.completion, seen.rejected)}
        messages = () if turns == plain else tuple(turns)
        worse = None if rejected is None else sound(rejected[number] or "")
        made.append(replace(example, completion=said, messages=messages, rejected=worse, fields=others))
    return made


def _conversation(seen: Seen, number: int) -> Sequence[Message]:
    return seen.conversations[number] if seen.conversations else ()
