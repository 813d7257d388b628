"""Argilla's records: `fields`, with `responses` and `suggestions` by question, as `records.to_json` writes them.

The feedback records of Argilla 1 (`responses` as a list of `values`) and its text classification records (`inputs`,
`annotation`) are read as well. Suggestions, which are models' guesses, are never taken for labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fewtune.data.base import Dataset
from fewtune.data.formats.base import Format, Record, Seen
from fewtune.data.formats.columns import about_of, row_of, texts_of
from fewtune.data.formats.questions import voted, with_label
from fewtune.data.readers.base import Table, table_of_records

NOBODY = "00000000-0000-0000-0000-000000000000"
"""Argilla wants an annotator for each response."""
COUNTED = ("submitted", None)
"""What Argilla calls a response that stands; drafts and discarded ones do not."""


class Argilla(Format):
    """Records of an Argilla dataset."""

    name = "argilla"
    title = "Argilla records"
    suffix = ".json"
    task = "classification"

    def knows(self, record: Record) -> bool:
        """`fields` with what Argilla puts beside them, or `inputs` with an annotation."""
        beside = any(key in record for key in ("responses", "suggestions"))
        old = isinstance(record.get("inputs"), dict) and "annotation" in record
        return (isinstance(record.get("fields"), dict) and beside) or old

    def read(self, records: Sequence[Record], table: Table, *, label: str | None) -> Seen:
        """The fields and metadata as columns, the label of the responses."""
        question, votes = voted([list(_answers(record)) for record in records], table.source, label)
        found = table_of_records(list(map(_cells, records)), table.source, rows=table.rows, notes=table.notes)
        return with_label(found, question, votes, self.title)

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """Records of Argilla 2, each label a response."""
        texts, about = texts_of(dataset), about_of(dataset)
        about.pop("id", None)
        question = dataset.label_column or "label"
        for place, example in enumerate(dataset):
            responses = {} if example.label is None else {question: [{"value": example.label, "user_id": NOBODY}]}
            yield {
                "id": example.id or str(place + 1),
                "fields": row_of(texts, place),
                "metadata": row_of(about, place),
                "suggestions": {},
                "responses": responses,
                "vectors": {},
            }


def _cells(record: Record) -> dict[str, Any]:
    metadata = record.get("metadata")
    name = record.get("external_id") or record.get("id")
    fields = record.get("fields") or record.get("inputs") or {}
    named = {} if name is None else {"id": name}
    return {**named, **fields, **(metadata if isinstance(metadata, dict) else {})}


def _answers(record: Record) -> Iterator[dict[str, list[str]]]:
    """Question → labels, for each response that stands."""
    responses = record.get("responses")
    if isinstance(responses, dict):  # Argilla 2: question → responses
        for question, given in responses.items():
            for one in given if isinstance(given, list) else [given]:
                if isinstance(one, dict) and one.get("status") in COUNTED and one.get("value") is not None:
                    yield {str(question): _labels(one["value"])}
    for one in responses if isinstance(responses, list) else []:  # Argilla 1: one response an annotator
        values = one.get("values") if isinstance(one, dict) and one.get("status") in COUNTED else None
        if isinstance(values, dict):
            plain = {name: value.get("value") if isinstance(value, dict) else value for name, value in values.items()}
            yield {str(name): _labels(value) for name, value in plain.items() if value is not None}
    if record.get("annotation") is not None:
        yield {"annotation": _labels(record["annotation"])}


def _labels(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]
