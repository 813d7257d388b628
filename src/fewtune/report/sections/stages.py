"""Several tunings, each begun where the last one ended: the table of stages by what they were examined on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewtune.report.sections.base import Result, Section, items, part
from fewtune.report.sections.beside import KINDS
from fewtune.report.sections.written import measured, title_of
from fewtune.report.words import DASH, Range, clip, count, duration, finite

ALSO = ("bleu", "chrf", "rouge_l", "exact_match")
"""Beside bits per byte, one score of what was written: the first of these that there is."""
NUMBERS = {
    "backward": ("Backward transfer", "what later stages saved of earlier ones; below zero, what they cost"),
    "forgetting": ("Forgetting", "what was lost since each earlier stage stood best; less is better"),
    "forward": ("Forward transfer", "what earlier stages saved of a later one, before it was tuned"),
}


def headline(result: Result) -> dict[str, Any]:
    """The verdict, and what was tuned on."""
    return {
        "source": clip(result.get("source"), 300).text,
        "rows": result.get("rows"),
        "stages": len(items(result.get("stages"))),
        "verdict": str(part(result, "verdict").get("sentence") or "This result holds no verdict."),
    }


def table(result: Result) -> Section:
    """A row for the untuned model and one after each stage; a column for each stage and for what is beside them."""
    columns: list[dict[str, Any]] = [
        {
            "name": clip(one.get("name"), 60).text,
            "key": str(one.get("name")),
            "rows": count(one.get("rows")),
            "beside": one.get("kind") == "beside",
        }
        for one in items(result.get("columns"))
    ]
    names = [column["key"] for column in columns if not column["beside"]]
    rows = []
    for place, one in enumerate(items(result.get("table"))):
        after = str(one.get("after") or "")
        cells = [_cell(part(one, "cells", column["key"]), own=after == column["key"]) for column in columns]
        title = "Before any stage" if place == 0 else f"After {clip(after, 60).text}"
        rows.append({"title": title, "cells": list(zip(columns, cells, strict=True))})
    return {"columns": columns, "rows": rows, "stages": len(names)} if rows and columns else None


def _cell(scores: Mapping[str, Any], *, own: bool) -> dict[str, Any]:
    also = next((name for name in ALSO if scores.get(name)), None)
    return {
        "bits": _bits(scores),
        "also": None if also is None else (title_of(also), measured(also, scores[also])[0]),
        "own": own,
    }


def _bits(scores: Mapping[str, Any]) -> tuple[str, str]:
    """Bits per byte and its range; one prompt alone gives a value and no range."""
    mean = finite(part(scores, "bits_per_byte").get("mean"))
    between = measured("bits_per_byte", scores.get("bits_per_byte"))[1]
    return (DASH if mean is None else f"{mean:.3f}"), between


def moved(result: Result) -> Section:
    """The usual numbers, and each column's change, paired by row."""
    block = part(result, "transfer")
    numbers = [
        {"name": name, "meaning": meaning, "value": _signed(part(block, key))}
        for key, (name, meaning) in NUMBERS.items()
        if part(block, key)
    ]
    changes = [
        {
            "sentence": str(one.get("sentence") or ""),
            "kind": KINDS.get(str(one.get("verdict")), "unclear"),
            "name": clip(one.get("name"), 60).text,
            "value": _signed(part(one, "difference")),
            "verdict": str(one.get("verdict") or ""),
        }
        for one in items(result.get("changes"))
    ]
    formula = clip(block.get("formula"), 900).text
    return {"numbers": numbers, "changes": changes, "formula": formula} if numbers or changes else None


def _signed(found: Mapping[str, Any]) -> tuple[str, str]:
    mean, between = finite(found.get("mean")), Range.of(found)
    told = DASH if mean is None else f"{mean:+.3f}".replace("-", "−")
    if between is None:
        return told, "one prompt gives no range"
    return told, f"{between.low:+.3f} to {between.high:+.3f}".replace("-", "−")


def each(result: Result) -> Section:
    """What was tuned in each stage, with the way to its own report."""
    rows = [
        {
            "number": count(one.get("number")),
            "name": clip(one.get("name"), 60).text,
            "source": clip(one.get("source"), 120).text,
            "rows": count(one.get("rows")),
            "held_out": count(one.get("held_out")),
            "title": clip(one.get("title"), 80).text,
            "folder": clip(one.get("folder"), 120).text,
            "verdict": clip(one.get("verdict"), 600).text,
            "replay": clip(part(one, "replay").get("sentence"), 400).text,
            "tuned": bool(one.get("tuned")),
            "time": duration(one.get("seconds")),
        }
        for one in items(result.get("stages"))
    ]
    return {"rows": rows} if rows else None
