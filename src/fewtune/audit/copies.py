"""Rows that stand more than once in a file, and copies whose labels contradict each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import ClassVar

from fewtune.audit.base import Check, Finding, Ground, Row, named
from fewtune.audit.duplicates import conflicts
from fewtune.data.base import Example
from fewtune.data.exchanges import prompt_key
from fewtune.plural import agreeing, counted


class Copies(Check):
    """Copies, near copies and rewordings among the training rows."""

    name: ClassVar[str] = "copies"
    title: ClassVar[str] = "Rows that say the same"

    def run(self, ground: Ground) -> Iterator[Finding]:
        """First those whose labels differ, then all; by spelling, then by meaning. Of preferences, their prompts."""
        if ground.train.task == "preference":
            yield from self._prompts(ground)
            return
        yield from self._contradicting(ground)
        yield from self._repeated(ground)
        yield from self._reworded(ground)

    def _contradicting(self, ground: Ground) -> Iterator[Finding]:
        examples = ground.train.examples
        found = conflicts(ground.train.texts, [example.label for example in examples], ground.spelled)
        if not found:
            return
        rows = [
            named("train", examples[row], note=f"also labelled {_others(examples[row].label, conflict.labels)}")
            for conflict in found
            for row in conflict.rows
        ]
        yield Finding(
            self.name,
            "warning",
            f"{counted(len(rows), 'row says', 'rows say')} the same as another row but carry another label.",
            "At least one label of each pair is wrong, or the classes overlap: whatever is learnt, one is counted "
            "as an error.",
            "Decide on one label for each: `fewtune check FILE --review` walks through them.",
            tuple(rows),
            {"clusters": len(found)},
        )

    def _repeated(self, ground: Ground) -> Iterator[Finding]:
        rows = _repeats(ground, ground.spelled)
        if rows:
            clusters = len(set(ground.spelled))
            yield Finding(
                self.name,
                "note",
                f"{len(rows)} of {len(ground.train)} rows {agreeing(len(rows), 'repeats', 'repeat')} "
                "another row or nearly so.",
                "They are kept on one side of every split; else a score would count what was learnt by heart.",
                "Nothing must be done; `fewtune prepare` can propose to drop them.",
                tuple(rows),
                {"distinct": clusters, "extra_rows": len(rows)},
            )

    def _reworded(self, ground: Ground) -> Iterator[Finding]:
        """Each row but the first of its kind, beside its closest twin."""
        pairs, bar = ground.reworded
        twins: dict[int, tuple[float, int]] = {}
        for left, right, closeness in zip(pairs.left_P, pairs.right_P, pairs.closeness_P, strict=True):
            if ground.spelled[left] != ground.spelled[right]:
                twins[int(right)] = max(twins.get(int(right), (0.0, 0)), (float(closeness), int(left)))
        if not twins:
            return
        examples = ground.train.examples
        closest = sorted(twins.items(), key=lambda item: (-item[1][0], item[0]))
        contradicting = sum(examples[row].label != examples[twin].label for row, (_, twin) in closest)
        said = f", {contradicting} of them under another label" if contradicting else ""
        yield Finding(
            self.name,
            "note",
            f"{len(closest)} of {len(examples)} rows {agreeing(len(closest), 'says', 'say')} the same as "
            f"another in nearly the same words{said}.",
            "They are kept on one side of every split: a paraphrase or a translation to and fro of a row that was "
            "learnt is no test.",
            "Look at those with another label: one of the two is likely wrong. The others may stay.",
            tuple(
                named("train", examples[row], note=_twin(examples[row].label, examples[twin]), score=round(close, 4))
                for row, (close, twin) in closest
            ),
            {"bar": bar, "contradicting": contradicting},
        )

    def _prompts(self, ground: Ground) -> Iterator[Finding]:
        """Whole rows that are repeated, which weigh double; then prompts, which may well have several rows."""
        seen: dict[tuple[object, ...], Example] = {}
        again = []
        for example in ground.train:
            first = seen.setdefault((prompt_key(example), example.completion, example.rejected, example.label), example)
            if first is not example:
                again.append(named("train", example, note=f"same as row {first.row}"))
        if again:
            yield Finding(
                self.name,
                "note",
                f"{len(again)} of {len(ground.train)} rows {agreeing(len(again), 'repeats', 'repeat')} "
                "another row, prompt and answers.",
                "They weigh double in what is learnt.",
                "Drop them, unless several people said the same: `fewtune prepare FILE --drop duplicates`.",
                tuple(again),
                {"extra_rows": len(again)},
            )
        rows = _repeats(ground, ground.clusters)
        if rows:
            yield Finding(
                self.name,
                "note",
                f"{len(rows)} of {len(ground.train)} rows {agreeing(len(rows), 'has', 'have')} the "
                "prompt of another row, or nearly so.",
                "They are kept on one side of every split; else a score would count prompts that were learnt from.",
                "Nothing must be done; several answers to one prompt teach what sets them apart.",
                tuple(rows),
                {"distinct": len(set(ground.clusters)), "extra_rows": len(rows)},
            )


def _repeats(ground: Ground, clusters: Sequence[int]) -> list[Row]:
    members: dict[int, list[int]] = defaultdict(list)
    for row, cluster in enumerate(clusters):
        members[cluster].append(row)
    examples = ground.train.examples
    return [
        named("train", examples[row], note=f"same as row {examples[rows[0]].row}")
        for rows in members.values()
        for row in rows[1:]
    ]


def _twin(label: str | None, twin: Example) -> str:
    other = f", labelled {twin.label!r}" if twin.label != label else ""
    return f"like row {twin.row}{other}: {twin.text}"


def _others(label: str | None, labels: tuple[object, ...]) -> str:
    return " and ".join(sorted({repr(other) for other in labels if other != label}))
