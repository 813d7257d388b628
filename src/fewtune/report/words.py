"""Numbers in the words and shapes a person reads: one way to write a share, a range, a difference, a duration.

Values that are absent, null, NaN or infinite become a dash: a report is read most when something went wrong.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fewtune.data.clean.base import points

NBSP = "\u00a0"
"""Keeps a number and its unit on one line."""
DASH = "–"

METRICS: dict[str, tuple[str, str]] = {
    "accuracy": ("Accuracy", "share of texts labelled right"),
    "macro_f1": ("Macro F1", "average over classes, small ones count as much as large ones"),
    "weighted_f1": ("Weighted F1", "average over classes, weighted by their rows"),
    "balanced_accuracy": ("Balanced accuracy", "average share found in each class"),
    "mcc": ("Matthews correlation", "1 is perfect, 0 is guessing"),
    "log_loss": ("Log loss", "how badly probabilities miss; lower is better"),
    "brier": ("Brier score", "squared error of the probabilities; lower is better"),
    "calibration_error": ("Calibration error", "gap between stated confidence and truth; lower is better"),
}
"""Metric key → name and meaning, in the order shown."""
PLAIN_METRICS = frozenset({"mcc", "log_loss", "brier"})
"""Metrics that are not shares and so are not written in per cent."""

Kind = Literal["better", "worse", "unclear"]


@dataclass(frozen=True)
class Range:
    """A score with its interval, all three finite."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, value: Any) -> Range | None:
        """Read an interval of `result.json`; None when it is absent or not three finite numbers."""
        if not isinstance(value, Mapping):
            return None
        mean, low, high = (finite(value.get(key)) for key in ("mean", "low", "high"))
        return None if mean is None or low is None or high is None else cls(mean, low, high)


@dataclass(frozen=True)
class Comparison:
    """Two candidates held against each other on the same resamples, in words."""

    kind: Kind
    verdict: str
    other: str
    difference: str
    between: str
    remedy: str


@dataclass(frozen=True)
class Clipped:
    """The start of a text, and its full length in characters when something was left out."""

    text: str
    length: int | None = None


def finite(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def share(value: Any, digits: int = 1) -> str:
    """0.8421 → `84.2 %`."""
    number = finite(value)
    return DASH if number is None else f"{100 * number:.{digits}f}{NBSP}%"


def interval(value: Range | None) -> str:
    """A range of shares: `80.1 – 87.9 %`."""
    return DASH if value is None else f"{100 * value.low:.1f}{NBSP}–{NBSP}{100 * value.high:.1f}{NBSP}%"


def measure(metric: str, value: Range | None) -> tuple[str, str]:
    """The mean and the range of a metric, in its own unit."""
    if value is None or metric not in PLAIN_METRICS:
        return share(value.mean) if value else DASH, interval(value)
    return f"{value.mean:.3f}", f"{value.low:.3f}{NBSP}–{NBSP}{value.high:.3f}"


def signed(value: float) -> str:
    """0.0241 → `+2.4`, with a true minus sign; what rounds to nothing carries no sign."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in {"+0.0", "-0.0"} else text.replace("-", "−")


def count(value: Any) -> str:
    """1234 → `1,234`."""
    number = finite(value)
    return DASH if number is None else f"{round(number):,}"


def short(number: float) -> str:
    """22713216 → `22.7 M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{NBSP}{unit}"
    return count(number)


def duration(seconds: Any) -> str:
    """72 → `1 min 12 s`."""
    number = finite(seconds)
    if number is None or number < 0:
        return DASH
    if number < 9.95:
        return f"{number:.1f}{NBSP}s"
    whole = round(number)
    if whole < 60:
        return f"{whole}{NBSP}s"
    if whole < 600:
        return f"{whole // 60}{NBSP}min" + (f" {whole % 60}{NBSP}s" if whole % 60 else "")
    minutes = round(number / 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min"
    return f"{minutes // 60}{NBSP}h" + (f" {minutes % 60}{NBSP}min" if minutes % 60 else "")


def of_hundred(accuracy: Range) -> str:
    """The headline interval as a frequency: the form people misread least."""
    low, high = (min(100, max(0, round(100 * bound))) for bound in (accuracy.low, accuracy.high))
    expected = f"about {low}" if low == high else f"{low} to {high}"
    return f"Of every 100 new texts like these, {expected} are labelled right on average."


def _rows_needed(rows: float, size: float | None) -> str:
    of = "" if size is None else f" a difference of {points(size)}"
    return f"about {count(rows)} rows in all would tell{of}"


def comparison(value: Any, titles: Mapping[str, str]) -> Comparison | None:
    """A paired comparison of `result.json` in words; a bare verdict word is accepted too."""
    if isinstance(value, str):
        value = {"verdict": value}
    if not isinstance(value, Mapping) or not value.get("verdict"):
        return None
    verdict = str(value["verdict"])
    kind: Kind = "better" if verdict.startswith("better") else "worse" if verdict.startswith("worse") else "unclear"
    difference, low, high = (finite(value.get(key)) for key in ("difference", "low", "high"))
    if value.get("metric") == "bits_per_byte":
        return _in_bits(value, kind, _other(value, titles), difference, low, high)
    needed = finite(value.get("rows_needed"))
    return Comparison(
        kind=kind,
        verdict=verdict if kind != "unclear" else "cannot be told apart",
        other=_other(value, titles),
        difference="" if difference is None else f"{signed(difference)}{NBSP}points",
        between="" if low is None or high is None else f"{signed(low)} to {signed(high)}",
        remedy=_rows_needed(needed, finite(value.get("rows_needed_for"))) if kind == "unclear" and needed else "",
    )


def _other(value: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """What a person calls what a comparison is against: its own title where one was kept, else its method's."""
    return str(value.get("other_title") or titles.get(other_name(value), other_name(value)))


def other_name(value: Mapping[str, Any]) -> str:
    """What a comparison is against, by name."""
    return str(value.get("other") or "")


def _in_bits(
    value: Mapping[str, Any], kind: Kind, other: str, difference: float | None, low: float | None, high: float | None
) -> Comparison:
    """By how many bits per byte fewer; rows that would tell are said without a size, which is in no person's head."""
    needed, fewer = finite(value.get("rows_needed")), (difference or 0.0) >= 0
    side, sign = ("fewer", 1.0) if fewer else ("more", -1.0)
    low, high = (low, high) if fewer else (high, low)
    return Comparison(
        kind=kind,
        verdict=str(value["verdict"]) if kind != "unclear" else "cannot be told apart",
        other=other,
        difference="" if difference is None else f"{abs(difference):.3f}{NBSP}bits per byte {side}",
        between="" if low is None or high is None else f"{low * sign:.3f} to {high * sign:.3f}".replace("-", "−"),
        remedy=f"about {count(needed)} rows in all would tell" if kind == "unclear" and needed else "",
    )


def clip(text: Any, limit: int = 320, *, lines: bool = False) -> Clipped:
    """The first `limit` characters on one line, never cut in a combined character; `lines`: on as many as it has."""
    whole = "" if text is None else str(text)
    said = whole[: 4 * limit].splitlines() if lines else [whole[: 4 * limit]]
    start = "\n".join(" ".join(line.split()) for line in said).strip("\n")
    if len(start) <= limit and len(whole) <= 4 * limit:
        return Clipped(start)
    cut = min(limit, len(start))
    while cut > 1 and cut < len(start) and (unicodedata.combining(start[cut]) or "\u200d" in start[cut - 1 : cut + 1]):
        cut -= 1
    return Clipped(start[:cut].rstrip() + "…", len(whole))
