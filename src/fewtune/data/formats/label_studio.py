"""Label Studio's JSON: an array of tasks, each with `data` and `annotations`.

Of an annotation, choices, taxonomies and ratings are labels. Cancelled annotations are passed over; one marked as
ground truth outweighs all others. Predictions are never taken for labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fewtune.data.base import Dataset
from fewtune.data.formats.base import Format, Record, Seen
from fewtune.data.formats.columns import about_of, row_of, texts_of
from fewtune.data.formats.questions import voted, with_label
from fewtune.data.readers.base import Table, table_of_records

KINDS = ("choices", "taxonomy", "rating")


class LabelStudio(Format):
    """Tasks of a labelling project."""

    name = "label-studio"
    title = "Label Studio JSON"
    suffix = ".json"
    task = "classification"

    def knows(self, record: Record) -> bool:
        """`data` is an object and annotations (completions, in old versions) or predictions stand beside it."""
        beside = (record.get(key) for key in ("annotations", "completions", "predictions"))
        return isinstance(record.get("data"), dict) and any(isinstance(found, list) for found in beside)

    def read(self, records: Sequence[Record], table: Table, *, label: str | None) -> Seen:
        """The columns of `data`, the label of the annotations."""
        question, votes = voted([list(_answers(record)) for record in records], table.source, label)
        cells = [dict(record["data"]) for record in records]
        if not any("id" in row for row in cells) and any(record.get("id") is not None for record in records):
            cells = [{"id": record.get("id"), **row} for record, row in zip(records, cells, strict=True)]
        found = table_of_records(cells, table.source, rows=table.rows, notes=table.notes)
        return with_label(found, question, votes, self.title)

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """Tasks with one annotation, of choices; Label Studio gives them ids of its own."""
        texts, about = texts_of(dataset), about_of(dataset)
        shown, asked = dataset.text_column, dataset.label_column or "label"
        for place, example in enumerate(dataset):
            answer = {"from_name": asked, "to_name": shown, "type": "choices", "value": {"choices": [example.label]}}
            annotations = [] if example.label is None else [{"result": [answer]}]
            yield {"data": {**row_of(texts, place), **row_of(about, place)}, "annotations": annotations}


def _answers(record: Record) -> Iterator[dict[str, list[str]]]:
    """Question → labels, for each annotation that counts."""
    given = record.get("annotations") or record.get("completions") or []
    counted = [one for one in given if isinstance(one, dict) and not one.get("was_cancelled")]
    truth = [one for one in counted if one.get("ground_truth")]
    for annotation in truth or counted:
        found: dict[str, list[str]] = {}
        for answer in annotation.get("result") or []:
            if isinstance(answer, dict) and answer.get("type") in KINDS and isinstance(answer.get("value"), dict):
                name = str(answer.get("from_name", "label"))
                found.setdefault(name, []).extend(_labels(answer["value"].get(answer["type"])))
        if found:
            yield found


def _labels(value: Any) -> list[str]:
    """Choices as they are, a path of a taxonomy joined by `/`, a rating as its number."""
    if isinstance(value, list):
        return ["/".join(map(str, one)) if isinstance(one, list) else str(one) for one in value]
    return [] if value is None else [str(value)]
