"""Several tasks in one tuning: each in the mixture, and held against a tuning on its rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewtune.report.sections.base import Result, Section, items, part
from fewtune.report.sections.written import measured
from fewtune.report.words import DASH, NBSP, Range, clip, count, finite, share

KINDS = {"hurt": "worse", "helped": "better"}
"""Verdict → the class its word is coloured by."""


def tasks(result: Result) -> Section:
    """A row a task; the shares they were drawn in."""
    rows = [_row(one) for one in items(result.get("tasks"))]
    temperature = finite(part(result, "mixing").get("temperature"))
    told = DASH if temperature is None else f"{temperature:g}"
    return {"rows": rows, "temperature": told, "tested": any(row["test"] for row in rows)} if rows else None


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    against, test = part(one, "against_alone"), part(one, "test")
    difference = Range(*(finite(against.get(key)) or 0.0 for key in ("difference", "low", "high"))) if against else None
    verdict = str(one.get("verdict") or "not compared")
    tested = measured("bits_per_byte", test.get("bits_per_byte")) if test else None
    return {
        "name": clip(one.get("name"), 80).text,
        "rows": count(one.get("rows")),
        "share": share(one.get("share"), 0),
        "mixed": measured("bits_per_byte", part(one, "cv").get("bits_per_byte")),
        "bleu": measured("bleu", part(one, "cv").get("bleu")),
        "alone": measured("bits_per_byte", part(one, "alone", "cv").get("bits_per_byte")),
        "difference": (DASH, "") if difference is None else _fewer(difference),
        "verdict": verdict,
        "kind": KINDS.get(verdict, "unclear"),
        "reason": clip(one.get("reason"), 200).text,
        "test": tested,
    }


def _fewer(found: Range) -> tuple[str, str]:
    mean, low, high = (f"{value:+.3f}".replace("-", "−") for value in (found.mean, found.low, found.high))
    return mean, f"{low}{NBSP}to{NBSP}{high}"
