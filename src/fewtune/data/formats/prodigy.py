"""Prodigy's JSON lines: choices (`options`, `accept`) and single labels (`label`, `answer`).

Ignored answers have no label. A rejected single label says what a text is not, which is no label either. Answers of
several annotators to one text (one `_input_hash`) are one row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fewtune.data.base import Dataset
from fewtune.data.formats.base import Format, Record, Seen
from fewtune.data.formats.columns import about_of, row_of
from fewtune.data.formats.questions import with_label
from fewtune.data.formats.spacy import TAKEN, flattened
from fewtune.data.formats.votes import Votes
from fewtune.data.readers.base import Table, table_of_records
from fewtune.plural import counted

ANSWERS = ("accept", "reject", "ignore")
DROPPED = tuple(name for name in TAKEN if name != "text")


class Prodigy(Format):
    """Annotated tasks."""

    name = "prodigy"
    title = "Prodigy annotations"
    suffix = ".jsonl"
    task = "classification"

    def knows(self, record: Record) -> bool:
        """A text with an answer, or with a list of what was accepted."""
        answered = record.get("answer") in ANSWERS and ("label" in record or "options" in record or "accept" in record)
        return isinstance(record.get("text"), str) and (answered or isinstance(record.get("accept"), list))

    def read(self, records: Sequence[Record], table: Table, *, label: str | None) -> Seen:
        """One row a text, its labels those accepted."""
        together: dict[object, list[int]] = {}
        for place, record in enumerate(records):
            together.setdefault(record.get("_input_hash", ("row", place)), []).append(place)
        votes, rejected = Votes(), 0
        for places in together.values():
            given = [list(_labels(records[place])) for place in places]
            rejected += sum(records[place].get("answer") == "reject" for place in places)
            votes.add([labels for labels in given if labels])
        first = [places[0] for places in together.values()]
        cells = [flattened(records[place], DROPPED) for place in first]
        cells = [{name: value for name, value in row.items() if not name.startswith("_")} for row in cells]
        found = table_of_records(cells, table.source, rows=[table.rows[place] for place in first], notes=table.notes)
        if rejected:
            said = (
                f"{counted(rejected, 'answer rejects', 'answers reject')} a label, which says what a "
                "text is not: not counted."
            )
            found = replace(found, notes=(*found.notes, said))
        return with_label(found, "label", votes, self.title, label=label)

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """Choices; an unlabelled row is a task still to be answered."""
        about = about_of(dataset, taken=TAKEN)
        options = [{"id": name, "text": name} for name in dataset.classes]
        for place, example in enumerate(dataset):
            answered = {"accept": [example.label], "answer": "accept"} if example.label is not None else {"accept": []}
            yield {"text": example.text, "options": options, "meta": row_of(about, place), **answered}


def _labels(record: Record) -> Iterator[str]:
    if record.get("answer", "accept") != "accept":
        return
    accepted = record.get("accept")
    if isinstance(accepted, list):
        yield from map(str, accepted)
    elif isinstance(record.get("label"), str):
        yield record["label"]
