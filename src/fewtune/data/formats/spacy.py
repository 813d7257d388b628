"""spaCy's text categories as JSON lines: `text` and `cats`, class → 1 or 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fewtune.data.base import Dataset
from fewtune.data.formats.base import Format, Record, Seen
from fewtune.data.formats.columns import about_of, row_of
from fewtune.data.formats.questions import with_label
from fewtune.data.formats.votes import Votes
from fewtune.data.readers.base import Table, table_of_records

YES = 0.5
"""From this value on a category counts as given, as in spaCy's own scoring."""
TAKEN = ("text", "label", "cats", "meta", "tokens", "spans", "options", "accept", "answer", "config")
"""What spaCy and Prodigy call their own."""


class Spacy(Format):
    """Documents with categories."""

    name = "spacy"
    title = "spaCy text categories"
    suffix = ".jsonl"
    task = "classification"

    def knows(self, record: Record) -> bool:
        """`cats` is an object of numbers."""
        cats = record.get("cats")
        return isinstance(cats, dict) and all(isinstance(value, int | float) for value in cats.values())

    def read(self, records: Sequence[Record], table: Table, *, label: str | None) -> Seen:
        """The category whose value is half or more."""
        votes = Votes()
        for record in records:
            votes.add([[str(name) for name, value in record["cats"].items() if value >= YES]])
        found = table_of_records(list(map(flattened, records)), table.source, rows=table.rows, notes=table.notes)
        return with_label(found, "label", votes, self.title, label=label)

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """Every class with 1 or 0; an unlabelled row has 0 everywhere."""
        about = about_of(dataset, taken=TAKEN)
        for place, example in enumerate(dataset):
            cats = {name: float(name == example.label) for name in dataset.classes}
            yield {"text": example.text, "cats": cats, "meta": row_of(about, place)}


def flattened(record: Record, dropped: tuple[str, ...] = ("cats", "meta", "tokens", "spans")) -> dict[str, Any]:
    """The record without what describes the annotation, its `meta` as columns."""
    meta = record.get("meta")
    kept = {name: value for name, value in record.items() if name not in dropped}
    return {**kept, **({str(name): value for name, value in meta.items()} if isinstance(meta, dict) else {})}
