"""Texts with nothing in them, and texts far longer or shorter than the rest.

Lengths are compared on a logarithmic scale, by the median and the median absolute deviation: a rule that the extreme
rows themselves cannot move. A row is extreme when it is far out by that measure and many times the median besides, so
that files of even length show nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.base import Check, Finding, Ground, Row, named
from fewtune.audit.wording import rows_said

FAR = 4.0
"""Robust standard deviations."""
TIMES = 10.0
"""How many times longer or shorter than the median as well."""
LEAST_SPREAD = 0.3
"""Of the logarithm: below it a file would count as even, and ordinary rows as far out."""
FEWEST = 20
"""Rows below which "the rest" means nothing."""


class Lengths(Check):
    """Whether texts are empty of words, or far longer or shorter than the others."""

    name: ClassVar[str] = "lengths"
    title: ClassVar[str] = "Lengths"

    def run(self, ground: Ground) -> Iterator[Finding]:
        """Rows without words, then rows far out; both measured against the training rows."""
        if rows := [named(part, one) for part, data in ground.parts for one in data if not has_words(one.text)]:
            yield Finding(
                self.name,
                "warning",
                f"{rows_said(ground, rows)} {'have' if len(rows) > 1 else 'has'} neither letter, digit nor symbol.",
                "There is nothing to learn from them, and nothing to tell their class by.",
                "Give them a text or leave them out; `fewtune prepare FILE --drop empty` drops what is empty.",
                tuple(rows),
                {"rows": len(rows)},
            )
        yield from self._extremes(ground)

    def _extremes(self, ground: Ground) -> Iterator[Finding]:
        if len(ground.train) < FEWEST:
            return
        middle, spread = center(logs(ground.train.texts))
        rows = [row for row in _far_out(ground, middle, spread) if has_words(row.text)]
        if rows:
            median = round(float(np.exp(middle)))
            yield Finding(
                self.name,
                "note",
                f"{rows_said(ground, rows)} {'are' if len(rows) > 1 else 'is'} far longer or shorter than the others, "
                f"which have {median:,} characters in the middle.",
                "Very long rows are often several texts in one cell, very short ones a slip.",
                "Look at them: mend or drop those that are not what the others are.",
                tuple(rows),
                {"rows": len(rows), "median_characters": median},
            )


def has_words(text: str) -> bool:
    """Whether there is a letter, a digit or a symbol such as an emoji, not punctuation and space alone."""
    return any(unicodedata.category(mark)[0] in "LNS" for mark in text)


def logs(texts: Sequence[str]) -> NDArray[np.float64]:
    """[N] logarithms of the lengths."""
    return np.log([max(1, len(text.strip())) for text in texts])


def center(logs_N: NDArray[np.float64]) -> tuple[float, float]:
    """Median and robust standard deviation."""
    middle = float(np.median(logs_N))
    return middle, max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(logs_N - middle))))


def _far_out(ground: Ground, middle: float, spread: float) -> list[Row]:
    """Rows far out, the farthest first."""
    found = []
    for part, data in ground.parts:
        for example, value in zip(data, logs(data.texts) - middle, strict=True) if len(data) else ():
            if abs(value) > max(FAR * spread, np.log(TIMES)):
                times = float(np.exp(abs(value)))
                note = f"{len(example.text.strip()):,} characters, {times:.0f} times {'more' if value > 0 else 'fewer'}"
                found.append(named(part, example, note=note, score=round(float(abs(value) / spread), 2)))
    return sorted(found, key=lambda row: -(row.score or 0))
