"""Rows that stand more than once in a file, and copies whose labels contradict each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import ClassVar

from fewtune.audit.base import Check, Finding, Ground, named
from fewtune.audit.duplicates import conflicts


class Copies(Check):
    """Copies and near copies among the training rows."""

    name: ClassVar[str] = "copies"
    title: ClassVar[str] = "Rows that say the same"

    def run(self, ground: Ground) -> Iterator[Finding]:
        """First the copies whose labels differ, then all."""
        examples = ground.train.examples
        found = conflicts(ground.train.texts, [example.label for example in examples], ground.clusters)
        if found:
            rows = [
                named("train", examples[row], note=f"also labelled {_others(examples[row].label, conflict.labels)}")
                for conflict in found
                for row in conflict.rows
            ]
            yield Finding(
                self.name,
                "warning",
                f"{len(rows)} rows say the same as another row but carry another label.",
                "At least one label of each pair is wrong, or the classes overlap: whatever is learnt, one is counted "
                "as an error.",
                "Decide on one label for each: `fewtune check FILE --review` walks through them.",
                tuple(rows),
                {"clusters": len(found)},
            )
        members: dict[int, list[int]] = defaultdict(list)
        for row, cluster in enumerate(ground.clusters):
            members[cluster].append(row)
        repeated = [rows for rows in members.values() if len(rows) > 1]
        if repeated:
            extra = sum(len(rows) - 1 for rows in repeated)
            yield Finding(
                self.name,
                "note",
                f"{extra} of {len(examples)} rows repeat another row or nearly so.",
                "They are kept on one side of every split; else a score would count what was learnt by heart.",
                "Nothing must be done; `fewtune prepare` can propose to drop them.",
                tuple(
                    named("train", examples[row], note=f"same as row {examples[rows[0]].row}")
                    for rows in repeated
                    for row in rows[1:]
                ),
                {"clusters": len(repeated), "extra_rows": extra},
            )


def _others(label: str | None, labels: tuple[object, ...]) -> str:
    return " and ".join(sorted({repr(other) for other in labels if other != label}))
