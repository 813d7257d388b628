"""Unlabelled rows that are training or test rows again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from fewtune.audit.base import CALLED, Check, Finding, Ground, Need, Part, Row, named
from fewtune.audit.spelling import normalise

MANY = 0.01
"""Share of a part from which what was read in advance can show in its score."""


class PoolCopies(Check):
    """Unlabelled rows that stand in the training or the test file too."""

    name: ClassVar[str] = "pool_copies"
    title: ClassVar[str] = "Unlabelled rows known already"
    needs: ClassVar[frozenset[Need]] = frozenset({"unlabelled"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """Each row under the file it repeats; the test file first."""
        pool = [normalise(text) for text in ground["unlabelled"].texts]
        for part in ("test", "train"):
            if (data := getattr(ground, part)) is not None:
                places = {normalise(example.text): place for place, example in enumerate(data)}
                rows = [
                    named("unlabelled", example, note=f"{CALLED[part]} row {data.examples[places[text]].row}")
                    for example, text in zip(ground["unlabelled"], pool, strict=True)
                    if text in places
                ]
                met = len({places[text] for text in pool if text in places})
                if rows:
                    yield _finding(ground, part, rows, met / len(places))


def _finding(ground: Ground, part: Part, rows: list[Row], share: float) -> Finding:
    one = len(rows) == 1
    return Finding(
        PoolCopies.name,
        "warning" if share >= MANY else "note",
        f"{len(rows):,} of {len(ground['unlabelled']):,} unlabelled rows {'is a' if one else 'are'} {CALLED[part]} "
        f"{'row' if one else 'rows'} word for word.",
        "A method that learns from unlabelled text has then read the very texts it is tested on, without their labels: "
        "its score is somewhat too good for texts it will meet later.",
        "Take them out of the unlabelled file.",
        tuple(rows),
        {"rows": len(rows), f"share_of_{part}": round(share, 4)},
    )
