"""What is shown where preferences were learned: the headline, the ladder, the test file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewtune.report import charts
from fewtune.report.sections.base import (
    Result,
    Section,
    drawn,
    items,
    name_of,
    part,
    rung_head,
    source_of,
    test_read,
    titles,
    winner_rung,
)
from fewtune.report.words import DASH, NBSP, Comparison, Range, clip, comparison, interval, share

CHANCE = 0.5
"""What tossing a coin finds."""
NAMES = {
    "accuracy": ("Better answer found", "of two answers, the better one is the likelier, per token"),
    "reward_accuracy": ("Moved the right way", "the better answer gained more than the other, against the first stage"),
    "margin": ("Margin gained", "nats by which the better answer gained on the other, against the first stage"),
    "bits_per_byte": ("Cost of the better answer", "bits per byte; less is better"),
    "loss": ("Loss of the better answer", "nats a token; less is better"),
}
SHARES = ("accuracy", "reward_accuracy")
LADDER = ("accuracy", "reward_accuracy", "bits_per_byte")


def measured(name: str, value: Any) -> tuple[str, str]:
    """A score and its range: shares per cent, the others to three digits."""
    found = Range.of(value)
    if found is None:
        return DASH, DASH
    if name in SHARES:
        return share(found.mean), interval(found)
    return f"{found.mean:.3f}", f"{found.low:.3f}{NBSP}–{NBSP}{found.high:.3f}"


def headline(result: Result) -> dict[str, Any]:
    """The verdict, the number, and what it was held against."""
    verdict, cv, named = part(result, "verdict"), part(result, "winner", "cv"), titles(result)
    held = {
        "the first stage": "against_first",
        "the first stage, in what the better answers cost": "loss_against_first",
    }
    accuracy, between = measured("accuracy", cv.get("accuracy"))
    return {
        "source": source_of(result),
        "rows": result.get("rows"),
        "kind": "pairs" if result.get("pairs") else "answers",
        "start": clip(result.get("first_stage"), 120).text,
        "verdict": str(verdict.get("sentence") or "This result holds no verdict."),
        "accuracy": None if accuracy == DASH else accuracy,
        "range": between,
        "winner": name_of(part(result, "winner")),
        "against": [(words, found) for words, key in held.items() if (found := comparison(verdict.get(key), named))],
        "metrics": _metrics(cv),
    }


def _metrics(cv: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "name": title,
            "meaning": meaning,
            "value": measured(name, cv[name])[0],
            "range": measured(name, cv[name])[1],
        }
        for name, (title, meaning) in NAMES.items()
        if cv.get(name)
    ]


def ladder(result: Result) -> Section:
    """Every candidate, the first stage before them."""
    rungs, chosen, named = items(result.get("ladder")), winner_rung(result), titles(result)
    if not rungs:
        return None
    rows = [_rung(rung, place == chosen, named) for place, rung in enumerate(rungs)]
    marks = [
        charts.Mark(row["title"], Range.of(part(rung, "cv").get("accuracy")), row["chosen"], "skipped")
        for rung, row in zip(rungs, rows, strict=True)
    ]
    chart = drawn(lambda width: charts.ladder(marks, CHANCE, width)) if any(mark.score for mark in marks) else None
    return {"chart": chart, "heads": [NAMES[name][0] for name in LADDER], "rungs": rows}


def _rung(rung: Mapping[str, Any], chosen: bool, named: Mapping[str, str]) -> dict[str, Any]:
    cv = part(rung, "cv")
    return rung_head(rung, chosen) | {
        "first": [(NAMES[name][0], *measured(name, cv.get(name))) for name in LADDER],
        "against": _against(rung, named),
    }


def _against(rung: Mapping[str, Any], named: Mapping[str, str]) -> Comparison | None:
    return comparison(rung.get("against_first"), named)


def test(result: Result) -> Section:
    """The test file, read once at the end."""
    block, named = part(result, "test"), titles(result)
    if not block:
        return None
    before = part(block, "first")
    rows = [
        {"name": NAMES[name][0], "after": measured(name, block[name]), "before": measured(name, before.get(name))}
        for name in NAMES
        if Range.of(block.get(name))
    ]
    return test_read(block) | {
        "metrics": rows,
        "against": comparison(block.get("against_first"), named) if part(result, "winner").get("rung") else None,
        "leaks": len(items(block.get("leaks"))),
    }
