"""Examples and datasets: what everything else in fewtune is given.

An example is one row. A dataset is its rows and their task. Both are immutable; a change makes a new one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Origin = Literal["given", "augmented", "pseudo", "synthetic"]
Task = Literal["classification", "generation", "language_modelling", "preference"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user`, `assistant`, or what the file calls it."""
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """One row."""

    text: str
    """What is read: the text to classify, or the prompt to answer."""
    label: str | None = None
    id: str = ""
    """As given in the file, else the 1-based row number as text."""
    group: str | None = None
    """What may never be split across folds (a customer, a document, an author)."""
    origin: Origin = "given"
    parent: str | None = None
    """The `id` of the example this one was made from, when `origin` is not `given`."""
    row: int = 0
    """1-based number of the data row it came from; 0 when it came from no file."""
    fields: Mapping[str, str | None] = field(default_factory=dict, compare=False, repr=False)
    """The row's other columns, read by nothing that learns: checks look there for what gives a label away."""
    completion: str | None = None
    """What is to be written after `text`, for generation."""
    messages: tuple[Message, ...] = ()
    """The whole conversation, where the row is one; its last answer is `completion`, `text` the turn before."""
    rejected: str | None = None
    """Of a preference, the answer that `completion` was preferred to."""

    @property
    def prompt(self) -> str:
        """`text`, by its name in generation."""
        return self.text


@dataclass(frozen=True)
class Dataset:
    """Examples and their task.

    `notes` are sentences saying what the reader chose (delimiter, encoding, columns, dropped rows): shown to the
    person, kept in the report.
    """

    examples: tuple[Example, ...]
    task: Task = "classification"
    source: str = "memory"
    text_column: str = "text"
    label_column: str | None = "label"
    notes: tuple[str, ...] = field(default=())
    pair_columns: tuple[str, ...] = ()
    """Columns joined to the text, in order (see `fewtune.data.pairs`)."""
    id_column: str | None = None
    """None where the row numbers are the ids."""

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @property
    def texts(self) -> list[str]:
        """The texts, in row order."""
        return [example.text for example in self.examples]

    @property
    def labels(self) -> list[str]:
        """The labels, in row order; asserts that every row has one."""
        labels = [example.label for example in self.examples if example.label is not None]
        assert len(labels) == len(self.examples), "labels asked of a dataset with unlabelled rows"
        return labels

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Distinct labels, sorted."""
        return tuple(sorted({example.label for example in self.examples if example.label is not None}))

    @property
    def class_sizes(self) -> dict[str, int]:
        """Rows of each class, in the order of `classes`."""
        counts = Counter(example.label for example in self.examples)
        return {name: counts[name] for name in self.classes}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over texts, labels, ids, groups, origins, parents, completions, conversations, rejected; 16 hex."""
        digest = hashlib.sha256()
        for example in self.examples:
            row: list[object] = [example.text, example.label, example.id, example.group, example.origin, example.parent]
            if example.completion is not None or example.messages:
                row += [example.completion, [[turn.role, turn.content] for turn in example.messages]]
            row += [] if example.rejected is None else [example.rejected]
            digest.update(json.dumps(row, ensure_ascii=True).encode() + b"\n")
        return digest.hexdigest()[:16]

    def subset(self, indices: Iterable[int]) -> Dataset:
        """The rows at `indices`, in that order."""
        return self.replace(examples=[self.examples[index] for index in indices])

    def replace(self, *, examples: Sequence[Example] | None = None, notes: Sequence[str] | None = None) -> Dataset:
        """A copy with other examples or notes."""
        return Dataset(
            examples=self.examples if examples is None else tuple(examples),
            task=self.task,
            source=self.source,
            text_column=self.text_column,
            label_column=self.label_column,
            notes=self.notes if notes is None else tuple(notes),
            pair_columns=self.pair_columns,
            id_column=self.id_column,
        )
