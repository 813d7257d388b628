"""The contract of formats: know your records, turn them into columns, write examples back.

A format whose records hold labels gives columns, of which the text is chosen as in any table. One whose records are
conversations gives them whole: the last answer is the completion, the turn before it the text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fewtune.data.base import Dataset, Example, Message, Task
from fewtune.data.readers.base import Table

Record = Mapping[str, Any]
ASSISTANT = "assistant"


@dataclass(frozen=True)
class Seen:
    """What a format makes of records."""

    table: Table
    task: Task = "classification"
    text: str | None = None
    """The column that holds the text, where the format knows; else it is chosen as in any table."""
    label: str | None = None
    id: str | None = None
    conversations: tuple[tuple[Message, ...], ...] = field(default=())
    """One a row, for generation; empty where rows are a prompt and a completion and no more."""
    completion: str | None = None
    """The column that holds what is to be written; of preferences, what was chosen."""
    rejected: str | None = None
    """Of preferences, the column of the answers that were not chosen."""


class Format(ABC):
    """One way tools write rows. A class a file; `registry.py` lists them."""

    name: ClassVar[str]
    """Used on the command line: `label-studio`."""
    title: ClassVar[str]
    """Shown to people."""
    suffix: ClassVar[str]
    """The usual ending of its files."""
    task: ClassVar[Task]
    keys: ClassVar[tuple[str, ...]] = ()
    """Of rows to write: the keys that every record has."""
    parts: ClassVar[tuple[str, ...]] = ()
    """What a turn has, where a record holds turns."""
    strict: ClassVar[bool] = True
    """Whether records of the format look like nothing else, so that it is read as such even with columns named."""

    @abstractmethod
    def knows(self, record: Record) -> bool:
        """Whether a record is of this format."""

    def knows_all(self, records: Sequence[Record]) -> bool:
        """Whether all records of a file, one or more, are of this format."""
        return self.knows(records[0]) and all(map(self.knows, records))

    @abstractmethod
    def read(self, records: Sequence[Record], table: Table, *, label: str | None) -> Seen:
        """The records as columns or conversations.

        Parameters
        ----------
        table : the records as a plain table, for its row numbers, notes and source.
        label : the question asked for, where annotators answered several.

        Raises
        ------
        DataError : a record is damaged, or several questions could be the label.
        """

    @abstractmethod
    def write(self, dataset: Dataset) -> Iterator[Record]:
        """One record an example."""


def is_text(value: object) -> bool:
    """Whether a value can be read, or written, as it stands: a text, a number, true or false."""
    return isinstance(value, str | int | float)


def turns_of(example: Example) -> list[Message]:
    """The conversation of an example: its own, else its text and what is written after it (a label, in words)."""
    if example.messages:
        return list(example.messages)
    turns = [Message("user", example.text)]
    said = example.label if example.completion is None else example.completion
    return turns if said is None else [*turns, Message(ASSISTANT, said)]


def prompt_and_completion(turns: Sequence[Message]) -> tuple[str, str | None]:
    """The turn before the last answer, and the answer; None where the conversation ends without one."""
    answered = bool(turns) and turns[-1].role == ASSISTANT
    asked = turns[:-1] if answered else turns
    completion = turns[-1].content if answered else None
    return (asked[-1].content if asked else ""), completion
