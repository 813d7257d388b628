"""Preference rows: of two answers which is better, or of one answer whether it is wanted; the four ways to write them.

One class reads all of them, by the columns (`fewtune.data.preference_cells`); the others are ways to write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from fewtune.data.base import Dataset, Example, Message
from fewtune.data.formats.base import ASSISTANT, Format, Record, Seen, turns_of
from fewtune.data.formats.columns import about_of, row_of
from fewtune.data.preference_cells import WANTED, Cells
from fewtune.data.readers.base import Table, table_of_records
from fewtune.errors import DataError
from fewtune.plural import agreeing

ONLY_CHOSEN = "Only the answers that were chosen or wanted are read: {left} others are left out."
TAKEN = ("prompt", "chosen", "rejected", "completion", "label")


class Preferences(Format):
    """`prompt`, `chosen` and `rejected`: texts, or lists of messages where there is a conversation."""

    name = "preferences"
    title = "preferences: prompt, chosen and rejected"
    suffix = ".jsonl"
    task = "preference"
    strict = False
    pairs: ClassVar[bool] = True
    """Whether it holds pairs; else single answers."""

    def knows(self, record: Record) -> bool:
        """Whether one side of a pair stands there at least: what is missing is said of its row."""
        return "chosen" in record or "rejected" in record

    def knows_all(self, records: Sequence[Record]) -> bool:
        """Whether columns say so: both sides of pairs, or a completion and a label of true and false alone."""
        names = {name for record in records for name in record}
        if {"chosen", "rejected"} <= names:
            return True
        return {"prompt", "completion", "label"} <= names and all(map(_is_judged, records))

    def read(self, records: Sequence[Record], table: Table, *, label: str | None) -> Seen:
        """Each row as a prompt, its answer, and the other answer or what was said of it.

        Rows that make no preference are left out and told; `read_preferences` refuses them.
        """
        cells = Cells.of(table)
        deciding = [place for place in range(len(table)) if cells.decides(place)]
        kept, said, faults = _understood(cells, deciding)
        used = {cells.prompt, cells.first, cells.second, *TAKEN}
        made = []
        for place, example in zip(kept, said, strict=True):
            others = {name: values[place] for name, values in (table.values or table.columns).items()}
            second = {"rejected": example.rejected} if cells.pairs else {"label": example.label}
            others = {name: value for name, value in others.items() if name not in used}
            made.append({"prompt": example.prompt, "completion": example.completion, **second, **others})
        notes = (*table.notes, *_told(cells, len(table) - len(deciding)), *_left_out(faults, len(table)))
        rows = [table.rows[place] for place in kept]
        return Seen(
            table_of_records(made, table.source, rows=rows, notes=notes),
            "preference",
            text="prompt",
            label=None if cells.pairs else "label",
            conversations=tuple(tuple(turns_of(example)) for example in said),
            completion="completion",
            rejected="rejected" if cells.pairs else None,
        )

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """Texts, unless some row is a conversation: then all are lists of messages."""
        listed = any(example.messages for example in dataset)
        yield from self._written(dataset, listed=listed)

    def _written(self, dataset: Dataset, *, listed: bool) -> Iterator[Record]:
        about = about_of(dataset, taken=TAKEN)
        for place, example in enumerate(dataset):
            yield {**_row(example, listed=listed), **row_of(about, place)}


class PreferencesChat(Preferences):
    """The same as lists of messages, the prompt apart: TRL's conversational form."""

    name = "preferences-chat"
    title = "preferences as messages"

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """Lists of messages in every row."""
        yield from self._written(dataset, listed=True)


class PreferencesWhole(Preferences):
    """Two whole conversations, alike up to the last answer: no prompt beside them."""

    name = "preferences-whole"
    title = "preferences as whole conversations"

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """`chosen` and `rejected`, with all that was said before in both."""
        about = about_of(dataset, taken=TAKEN)
        for place, example in enumerate(dataset):
            before = turns_of(example)[:-1]
            sides = {"chosen": example.completion, "rejected": example.rejected}
            whole = {side: _messages([*before, Message(ASSISTANT, said or "")]) for side, said in sides.items()}
            yield {**whole, **row_of(about, place)}


class SingleAnswers(Preferences):
    """`prompt`, `completion` and `label`, true where the answer is wanted: what KTO learns from."""

    name = "kto"
    title = "single answers: prompt, completion and label"
    pairs = False


def only_wanted(seen: Seen) -> Seen:
    """Preferences as rows to write: what was chosen or wanted, and nothing that was not."""
    table = seen.table
    said = [] if seen.label is None else table.columns[seen.label]
    kept = [place for place in range(len(table)) if not said or said[place] == WANTED]
    columns = {name: [cells[place] for place in kept] for name, cells in table.columns.items() if name != "label"}
    left = len(table) - len(kept) if said else len(table)
    found = Table(
        columns,
        [table.rows[place] for place in kept],
        table.source,
        (*table.notes, ONLY_CHOSEN.format(left=left)),
        table.nested,
    )
    conversations = tuple(seen.conversations[place] for place in kept)
    return replace(seen, table=found, task="generation", label=None, rejected=None, conversations=conversations)


def _understood(cells: Cells, places: Sequence[int]) -> tuple[list[int], list[Example], list[DataError]]:
    """The rows that are preferences, and what is wrong with the others. Raises DataError where all are wrong."""
    kept, said, faults = [], [], []
    for place in places:
        try:
            said.append(cells.example(place))
            kept.append(place)
        except DataError as error:
            faults.append(error)
    if faults and not kept:
        raise faults[0]
    return kept, said, faults


def _left_out(faults: Sequence[DataError], rows: int) -> Iterator[str]:
    of_kind: dict[str, list[int]] = defaultdict(list)
    for fault in faults:
        of_kind[fault.what].append(fault.row or 0)
    for what, numbers in of_kind.items():
        named = ", ".join(map(str, numbers[:10])) + (", …" if len(numbers) > 10 else "")
        are, these = agreeing(len(numbers), "is", "are"), agreeing(len(numbers), "Row", "Rows")
        yield f"{len(numbers)} of {rows} rows {are} left out: {what[0].lower()}{what[1:]} {these} {named}."


def _row(example: Example, *, listed: bool) -> dict[str, Any]:
    asked: Any = example.text
    if listed:
        asked = _messages(turns_of(example)[:-1])

    def side(said: str | None) -> Any:
        return _messages([Message(ASSISTANT, said or "")]) if listed else said or ""

    if example.rejected is None:
        return {"prompt": asked, "completion": side(example.completion), "label": example.label == WANTED}
    return {"prompt": asked, "chosen": side(example.completion), "rejected": side(example.rejected)}


def _messages(turns: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _is_judged(record: Record) -> bool:
    said = record.get("label")
    return said is None or isinstance(said, bool) or (isinstance(said, str) and said.strip().lower() in JUDGED)


JUDGED = ("true", "false", WANTED, "unwanted")
"""Labels that say whether an answer is wanted. `0` and `1` may be classes: those are read so only when asked for."""


def _told(cells: Cells, left_out: int) -> Iterator[str]:
    names = ("chosen", "rejected") if cells.pairs else ("answer", "whether it is wanted")
    asked = "in both answers" if cells.prompt is None else f"in {cells.prompt!r}"
    yield f"Preferences: prompt {asked}, {names[0]} in {cells.first!r}, {names[1]} in {cells.second!r}."
    if left_out:
        yield f"{left_out} marks make no pair (ties, or an answer with nothing in it) and are left out."


__all__ = ["Preferences", "PreferencesChat", "PreferencesWhole", "SingleAnswers", "only_wanted"]
