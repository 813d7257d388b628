"""Preferences that nothing can be learnt from: an answer with nothing in it, two equal ones, answers of one kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from fewtune.audit.base import Check, Finding, Ground, Need, Row, named
from fewtune.audit.lengths import FAR, FEWEST, TIMES, center, has_words, logs
from fewtune.audit.wording import rows_said
from fewtune.data.base import Example
from fewtune.data.preference_cells import same_answer
from fewtune.data.preferences import are_pairs

REFUSED = "`fewtune prefer` refuses such rows: there is nothing in them to prefer."


class PreferenceRows(Check):
    """Whether every preference has two different answers, with words in them and of like length."""

    name: ClassVar[str] = "preference_rows"
    title: ClassVar[str] = "Preferences that can be learnt"
    needs: ClassVar[frozenset[Need]] = frozenset({"preferences"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """Empty answers, equal ones, answers that are all wanted or all not; then answers far out in length."""
        yield from self._empty(ground)
        yield from self._equal(ground)
        yield from self._one_kind(ground)
        yield from self._far_out(ground)

    def _empty(self, ground: Ground) -> Iterator[Finding]:
        rows = []
        for part, data in ground.parts:
            for example in data:
                empty = [side for side, text in sides(example) if not text.strip()]
                if empty:
                    rows.append(named(part, example, note=f"{' and '.join(empty)} with nothing in it"))
        if rows:
            yield Finding(
                self.name,
                "blocks",
                f"{rows_said(ground, rows)} {_have(rows)} an answer with nothing in it.",
                REFUSED,
                "Fill the answers or take the rows out: `fewtune prepare FILE --drop empty`, where answers have a "
                "column of their own.",
                tuple(rows),
                {"rows": len(rows)},
            )

    def _equal(self, ground: Ground) -> Iterator[Finding]:
        rows = [named(part, one) for part, data in ground.parts for one in data if _is_equal(one)]
        if rows:
            yield Finding(
                self.name,
                "blocks",
                f"{rows_said(ground, rows)} {_have(rows)} the same answer as chosen and as rejected.",
                REFUSED,
                "Take them out, or give the answer that was meant: `fewtune prepare FILE --drop empty` takes them out.",
                tuple(rows),
                {"rows": len(rows)},
            )

    def _one_kind(self, ground: Ground) -> Iterator[Finding]:
        train = ground.train
        if train.task == "preference" and not are_pairs(train) and len(train.classes) == 1:
            yield Finding(
                self.name,
                "blocks",
                f"All {len(train)} answers are {train.classes[0]}.",
                "There is nothing to tell apart: `fewtune prefer` refuses these rows.",
                "Give wanted and unwanted answers both, or learn to write the wanted ones: "
                "`fewtune fit FILE --task generation`.",
                numbers={"rows": len(train)},
            )

    def _far_out(self, ground: Ground) -> Iterator[Finding]:
        """Answers many times as long as the others; short ones are often right."""
        texts = [text for example in ground.train for _, text in sides(example) if has_words(text)]
        if len(texts) < FEWEST:
            return
        middle, spread = center(logs(texts))
        rows = []
        for part, data in ground.parts:
            for example in data:
                longest, side = max(((len(text.strip()), side) for side, text in sides(example)), default=(0, ""))
                times = longest / float(np.exp(middle))
                if np.log(max(times, 1.0)) > max(FAR * spread, np.log(TIMES)):
                    note = f"{side}: {longest:,} characters, {times:.0f} times the middle"
                    rows.append(named(part, example, note=note, score=round(times, 1)))
        if rows:
            median = round(float(np.exp(middle)))
            yield Finding(
                self.name,
                "warning",
                f"{rows_said(ground, rows)} {_have(rows)} an answer far longer than the others, which have {median:,} "
                "characters in the middle.",
                "An answer that does not fit the model's context behind its prompt is refused by `fewtune prefer`, and "
                "one that does weighs as much as many others.",
                "Look at them: shorten or drop those that are several answers in one, or no answers.",
                tuple(sorted(rows, key=lambda row: -(row.score or 0))),
                {"rows": len(rows), "median_characters": median},
            )


def sides(example: Example) -> list[tuple[str, str]]:
    """The answers of a preference by name; none where a row is something else."""
    if example.rejected is not None:
        return [("chosen", example.completion or ""), ("rejected", example.rejected)]
    return [] if example.completion is None else [("completion", example.completion)]


def _is_equal(example: Example) -> bool:
    answer = same_answer(example.completion or "")
    return example.rejected is not None and bool(answer) and answer == same_answer(example.rejected)


def _have(rows: list[Row]) -> str:
    return "have" if len(rows) > 1 else "has"
