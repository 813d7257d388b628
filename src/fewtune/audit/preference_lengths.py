"""How far the length of an answer alone says whether it was preferred.

People and models that judge answers like longer ones; what is learnt from such rows is to write more. The share of
pairs whose longer answer was chosen is what a rule that looks at nothing but length gets right, with Wilson's interval.
Pairs of one prompt are no independent rows: the interval counts as many rows as have the variance that was found
between prompts. Single answers have the like of it in the area under the curve: how often a wanted answer is longer
than an unwanted one (DeLong, DeLong and Clarke-Pearson 1988).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.base import Check, Finding, Ground, Need
from fewtune.audit.wording import percent
from fewtune.chance import area_under_curve, wilson
from fewtune.data.base import Dataset
from fewtune.data.exchanges import prompt_key
from fewtune.data.preference_cells import WANTED
from fewtune.data.preferences import are_pairs

FEWEST = 8
"""Pairs whose answers differ in length, below which a share says nothing."""
BAR = 0.6
"""Where the whole interval lies beyond it, length is worth a warning."""


class Told(NamedTuple):
    """What length tells."""

    share: float
    low: float
    high: float
    rows: int
    """Pairs of unlike length, or single answers."""
    medians: tuple[float, float]
    """Characters of preferred answers and of the others."""


class PreferenceLengths(Check):
    """How often the longer answer is the one that was preferred."""

    name: ClassVar[str] = "preference_lengths"
    title: ClassVar[str] = "Length as a reason to prefer"
    needs: ClassVar[frozenset[Need]] = frozenset({"preferences"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """The share with its interval: a warning where length alone is right more often than not by a margin."""
        if ground.train.task != "preference":
            return
        pairs = are_pairs(ground.train)
        told = of_pairs(ground.train) if pairs else of_singles(ground.train)
        if told is None:
            return
        # Said of whichever side was preferred more often, so that the share is a half or more.
        longer = told.share >= 0.5
        share, low, high = (
            (told.share, told.low, told.high) if longer else (1 - told.share, 1 - told.high, 1 - told.low)
        )
        side, other = ("longer", "shorter") if longer else ("shorter", "longer")
        span = f"{percent(share)} ({percent(low)} to {percent(high)})"
        warns = low > BAR
        best = f"hold the accuracy of `fewtune prefer` against {percent(share)}: no more than that may be length"
        yield Finding(
            self.name,
            "warning" if warns else "note",
            f"The {side} answer was chosen in {span} of {told.rows} pairs whose answers differ in length."
            if pairs
            else f"A wanted answer is {side} than an unwanted one {span} of the time.",
            _meaning(told, sure=low > 0.5, warns=warns),
            f"Add preferences whose better answer is the {other} one, and {best}."
            if warns
            else f"{best[0].upper()}{best[1:]}.",
            numbers={
                "rows": told.rows,
                "longer_preferred": round(told.share, 4),
                "low": round(told.low, 4),
                "high": round(told.high, 4),
                "median_characters_preferred": told.medians[0],
                "median_characters_other": told.medians[1],
            },
        )


def _meaning(told: Told, *, sure: bool, warns: bool) -> str:
    one, other = (f"{round(median):,}" for median in told.medians)
    sizes = f"{one} characters in the middle where preferred, {other} where not"
    said = f"A rule that looks at nothing but length would be right as often ({sizes})"
    if warns:
        return f"{said}: that is the easiest thing to learn from these rows."
    return f"{said}." if sure else f"{said}, which cannot be told from a coin's toss."


def of_pairs(dataset: Dataset) -> Told | None:
    """The share of pairs whose longer answer was chosen; None where too few differ in length."""
    lengths = [(prompt_key(one), _length(one.completion), _length(one.rejected)) for one in dataset]
    decided = [(key, chosen > rejected) for key, chosen, rejected in lengths if chosen != rejected]
    if len(decided) < FEWEST:
        return None
    longer_N = np.array([longer for _, longer in decided], dtype=float)
    share = float(longer_N.mean())
    low, high = wilson(share, _independent([key for key, _ in decided], longer_N))
    chosen, rejected = (float(np.median([row[side] for row in lengths])) for side in (1, 2))
    return Told(share, low, high, len(decided), (chosen, rejected))


def of_singles(dataset: Dataset) -> Told | None:
    """How often a wanted answer is longer than an unwanted one, ties as half; None where either are too few."""
    wanted = np.array([_length(one.completion) for one in dataset if one.label == WANTED], dtype=float)
    other = np.array([_length(one.completion) for one in dataset if one.label != WANTED], dtype=float)
    if min(len(wanted), len(other)) < FEWEST:
        return None
    area, variance = area_under_curve(wanted, other)
    half = 1.96 * float(np.sqrt(max(variance, 0.0)))
    medians = float(np.median(wanted)), float(np.median(other))
    return Told(area, max(0.0, area - half), min(1.0, area + half), len(dataset), medians)


def _independent(keys: Sequence[str], right_N: NDArray[np.float64]) -> float:
    """How many independent rows have the variance that is found between prompts; never more than there are."""
    share, rows = float(right_N.mean()), len(right_N)
    sums: dict[str, float] = {}
    for key, value in zip(keys, (right_N - share).tolist(), strict=True):
        sums[key] = sums.get(key, 0.0) + value
    variance = sum(value**2 for value in sums.values()) / rows**2
    if not 0 < share < 1 or variance == 0:
        return float(len(sums))
    return min(float(rows), share * (1 - share) / variance)


def _length(text: str | None) -> int:
    return len((text or "").strip())
