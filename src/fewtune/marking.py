"""What marked answers tell: `fewtune marks`. The page of a fit saves them, one JSON line a mark.

A line holds `prompt`, `mark` (better, worse or tie: of `first` against `second`), and where one of them was better,
`chosen` and `rejected`: a preference row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewtune.data.files import written_whole
from fewtune.data.read import read_table
from fewtune.data.readers.base import Table, is_nested
from fewtune.errors import ColumnError, DataError, UsageError
from fewtune.metrics.marks import MARKS, SignTest, marks_to_tell, sign_test

CALLED = {
    "winner": "the tuned model",
    "few_shot": "asking with examples",
    "zero_shot": "asking without examples",
    "first_stage": "the first stage",
}
"""What the page's names for who answered are in a sentence."""
COLUMNS = ("prompt", "mark", "first", "second")


@dataclass(frozen=True)
class Judged:
    """Marks of one system against one other."""

    first: str
    second: str
    rows: int
    blind: int
    """How many of them were made with the names hidden."""
    test: SignTest
    """Several marks of one prompt are one vote."""
    enough: int | None
    """Decided prompts that would tell, if the share stays; None where it is even, or where they are told apart."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in ("first", "second", "rows", "blind", "enough")}
        return plain | self.test.to_json()

    @property
    def sentences(self) -> list[str]:
        """What a person is told."""
        found = [self.test.sentence]
        if self.blind < self.rows:
            seen = self.rows - self.blind
            found.append(f"{seen} of {self.rows} marks were made with the names in sight, which sways.")
        if self.enough is not None:
            found.append(f"If the share stays, about {self.enough} decided prompts would tell.")
        return found


@dataclass(frozen=True)
class Marks:
    """Marks of a file."""

    source: str
    judged: tuple[Judged, ...]
    preferences: tuple[dict[str, Any], ...]
    """`prompt` (of a conversation its messages), `chosen`, `rejected` of every mark that decides between two texts."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        told = [one.to_json() for one in self.judged]
        return {"source": self.source, "preferences": len(self.preferences), "judged": told}


def marks(source: object) -> Marks:
    """Read marks and test them, one pair of systems at a time.

    Parameters
    ----------
    source : the file that the page saved, several joined, or anything else that `fewtune.read` reads as a table.

    Raises
    ------
    DataError : a column is missing, or a mark is none, with the row.
    """
    table = read_table(source)
    records = _records(table)
    pairs = list(dict.fromkeys((one["first"], one["second"]) for one in records))
    judged = [_judged(*pair, [one for one in records if (one["first"], one["second"]) == pair]) for pair in pairs]
    decided = [one for one in records if one["mark"] != "tie" and one["chosen"] and one["rejected"]]
    kept = [{"prompt": one["said"], "chosen": one["chosen"], "rejected": one["rejected"]} for one in decided]
    return Marks(table.source, tuple(judged), tuple(kept))


def _judged(first: str, second: str, records: Sequence[Mapping[str, Any]]) -> Judged:
    names = CALLED.get(first, first), CALLED.get(second, second)
    test = sign_test([one["mark"] for one in records], groups=[one["prompt"] for one in records], names=names)
    unsure = test.verdict == "cannot be told apart" and test.better != test.worse
    enough = marks_to_tell(test.share.mean) if unsure else None
    return Judged(first, second, len(records), sum(one["blind"] for one in records), test, enough)


def _records(table: Table) -> list[dict[str, Any]]:
    """Every mark, checked."""
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise ColumnError(
            f"There is no column {missing[0]!r}, so these are no marks.",
            file=table.source,
            remedy="Give the file that the page of a fit saves: its answers stand side by side, to be marked.",
        )
    empty = [None] * len(table)
    columns = {name: table.columns.get(name, empty) for name in (*COLUMNS, "chosen", "rejected", "blind")}
    prompts = table.values.get("prompt", columns["prompt"])
    records = []
    for place, row in enumerate(table.rows):
        record: dict[str, Any] = {name: cells[place] or "" for name, cells in columns.items()}
        record["said"] = prompts[place] if is_nested(prompts[place]) else record["prompt"]
        record["blind"] = str(record["blind"]).lower() == "true"
        _check(record, table.source, row)
        records.append(record)
    return records


def _check(record: Mapping[str, Any], source: str, row: int) -> None:
    if record["mark"] not in MARKS:
        what = f"The mark is {record['mark']!r}."
        raise DataError(what, file=source, row=row, remedy=f"A mark is {', '.join(MARKS[:-1])} or {MARKS[-1]}.")
    if record["mark"] != "tie" and record["chosen"] == record["rejected"]:
        what = "One answer is marked better, and both are the same."
        raise DataError(what, file=source, row=row, remedy="Mark it as a tie, or fill `chosen` and `rejected`.")


def marks_to_file(found: Marks, path: Path) -> None:
    """Write the preference rows as JSON lines, whole or not at all. Raises UsageError."""
    lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in found.preferences]
    try:
        with written_whole(path) as file:
            file.write("".join(lines).encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror or error}). Name another file.") from error


__all__ = ["Judged", "Marks", "marks", "marks_to_file"]
