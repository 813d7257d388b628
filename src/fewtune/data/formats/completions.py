"""Prompt and completion, as texts or as lists of messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fewtune.data.base import Dataset
from fewtune.data.formats.base import Format, Record, Seen, is_text
from fewtune.data.formats.chat import Chat
from fewtune.data.formats.columns import about_of, row_of
from fewtune.data.readers.base import Table


class Completions(Format):
    """`prompt` and `completion`."""

    name = "completions"
    title = "prompts and completions"
    suffix = ".jsonl"
    task = "generation"
    strict = False
    keys = ("prompt", "completion")

    def knows(self, record: Record) -> bool:
        """Both are texts or numbers, or both are lists."""
        given = (record.get("prompt"), record.get("completion"))
        return all(map(is_text, given)) or all(isinstance(value, list) for value in given)

    def read(self, records: Sequence[Record], table: Table, *, label: str | None) -> Seen:
        """Columns as they are; lists of messages are conversations."""
        if isinstance(records[0]["prompt"], list):
            joined = [{**record, "messages": [*record["prompt"], *record["completion"]]} for record in records]
            return Chat().read(joined, table, label=label)
        notes = (*table.notes, f"Format: {self.title}.")
        found = Table(table.columns, table.rows, table.source, notes, table.nested)
        return Seen(
            found, self.task, text="prompt", id="id" if "id" in found.columns else None, completion="completion"
        )

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """With every other column."""
        about = about_of(dataset, taken=("prompt", "completion"))
        for place, example in enumerate(dataset):
            said = example.label if example.completion is None else example.completion
            yield {"prompt": example.text, "completion": said or "", **row_of(about, place)}
