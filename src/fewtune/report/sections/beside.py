"""What tuning did beside its task: what was forgotten, what was learnt by heart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewtune.report.sections.base import Result, Section, items, part, sentences
from fewtune.report.words import DASH, NBSP, Range, clip, count, interval, share

KINDS = {"forgotten": "worse", "gained": "better", "kept": "unclear"}
"""Verdict → the class its word is coloured by."""


def forgetting(result: Result) -> Section:
    """Bits per byte of text the tuning was not about, before and after."""
    block = part(result, "forgetting")
    sets = [_set(one) for one in items(block.get("measured"))]
    skipped = sentences(block.get("skipped"))
    replay = clip(part(result, "replay").get("sentence"), 600).text
    return {"sets": sets, "skipped": skipped, "replay": replay} if sets or skipped else None


def _set(one: Mapping[str, Any]) -> dict[str, Any]:
    difference = Range.of(one.get("difference"))
    return {
        "name": clip(one.get("name"), 80).text,
        "rows": count(one.get("rows")),
        "before": _bits(Range.of(one.get("before"))),
        "after": _bits(Range.of(one.get("after"))),
        "difference": (DASH, "") if difference is None else _change(difference),
        "kind": KINDS.get(str(one.get("verdict")), "unclear"),
        "sentence": str(one.get("sentence") or ""),
        "hit": [_hit(probe) for probe in items(one.get("hardest_hit"))],
    }


def _bits(found: Range | None) -> tuple[str, str]:
    return (DASH, "") if found is None else (f"{found.mean:.3f}", f"{found.low:.3f}{NBSP}–{NBSP}{found.high:.3f}")


def _change(found: Range) -> tuple[str, str]:
    mean, low, high = (f"{value:+.3f}".replace("-", "−") for value in (found.mean, found.low, found.high))
    return mean, f"{low} to {high}"


def _hit(probe: Mapping[str, Any]) -> dict[str, Any]:
    bits = [f"{value:.2f}" if isinstance(value, float) else DASH for value in (probe.get("before"), probe.get("after"))]
    return {"text": clip(probe.get("text"), 300), "before": bits[0], "after": bits[1]}


def memorisation(result: Result) -> Section:
    """Training completions given back word for word, beside held-out ones."""
    block = part(result, "memorisation")
    rows = [(words, _share(part(block, key))) for words, key in _SIDES if part(block, key)]
    sentence, skipped = (str(block.get(key) or "") for key in ("sentence", "skipped"))
    if not (rows or sentence or skipped):
        return None
    difference = Range.of(block.get("difference"))
    runs = [_run(run) for run in items(part(block, "training").get("runs")) if run.get("words")]
    return {
        "rows": rows,
        "difference": None if difference is None else (_points(difference.mean), _between(difference)),
        "sentence": sentence,
        "skipped": skipped,
        "warns": block.get("verdict") == "memorised",
        "runs": runs,
    }


_SIDES = (("Rows trained on", "training"), ("Rows held out", "held_out"))


def _share(side: Mapping[str, Any]) -> dict[str, Any]:
    reproduced, run = Range.of(side.get("reproduced")), Range.of(side.get("run_share"))
    return {
        "rows": count(side.get("rows")),
        "whole": (share(reproduced.mean) if reproduced else DASH, interval(reproduced)),
        "run": (share(run.mean) if run else DASH, interval(run)),
    }


def _points(value: float) -> str:
    return f"{100 * value:+.1f}{NBSP}points".replace("-", "−")


def _between(found: Range) -> str:
    return f"{100 * found.low:+.1f} to {100 * found.high:+.1f}".replace("-", "−")


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    row = run.get("row")
    told = {"row": count(row + 1) if isinstance(row, int) else DASH, "words": count(run.get("words"))}
    return told | {"share": share(run.get("share"), 0), "text": clip(run.get("text"), 300)}
