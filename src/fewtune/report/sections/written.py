"""What is shown where texts are written: the headline, the ladder, the test file, answers side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fewtune.metrics.text_scores import SCORES
from fewtune.report import charts
from fewtune.report.sections.base import (
    Result,
    Section,
    drawn,
    items,
    name_of,
    part,
    rung_head,
    sentences,
    source_of,
    test_read,
    titles,
    winner_rung,
)
from fewtune.report.words import (
    DASH,
    NBSP,
    Comparison,
    Range,
    clip,
    comparison,
    count,
    finite,
    interval,
    share,
)

SHOWN = ("bits_per_byte", "bleu", "chrf", "rouge_l", "exact_match", "slot_error")
"""Scores of the ladder, in this order, where there are any."""
BESIDE = ("slot_error", "rouge_l")
"""Beside bits per byte and BLEU there is room for one more in the ladder: the first of these that there is."""
WAYS = {
    "zero_shot": "Asked without examples",
    "few_shot": "Asked with examples",
    "first_stage": "First stage",
    "winner": "Tuned",
}
"""What an answer of the samples is called."""
LONGEST = 900
"""Of a prompt shown, in characters."""
LONGEST_ANSWER = 4_000
"""Who marks which answer is better should see the end of both."""


def measured(name: str, value: Any) -> tuple[str, str]:
    """A score and its range in its own unit: shares per cent, BLEU and chrF in points, bits to three digits."""
    found, unit = Range.of(value), next((score.unit for score in SCORES if score.name == name), "points")
    if found is None:
        return DASH, DASH
    if unit == "share":
        return share(found.mean), interval(found)
    digits = 1 if unit == "points" else 3
    return f"{found.mean:.{digits}f}", f"{found.low:.{digits}f}{NBSP}–{NBSP}{found.high:.{digits}f}"


def title_of(name: str) -> str:
    """What a score is called."""
    return next((score.title for score in SCORES if score.name == name), name)


def headline(result: Result) -> dict[str, Any]:
    """The verdict, the number, and what it was held against."""
    verdict, cv, named = part(result, "verdict"), part(result, "winner", "cv"), titles(result)
    held = {"asking without examples": "against_zero_shot", "asking with examples": "against_few_shot"}
    against = [(words, found) for words, key in held.items() if (found := comparison(verdict.get(key), named))]
    bits, between = measured("bits_per_byte", cv.get("bits_per_byte"))
    return {
        "source": source_of(result),
        "rows": result.get("rows"),
        "task": "plain texts" if result.get("task") == "language_modelling" else "prompts",
        "verdict": str(verdict.get("sentence") or "This result holds no verdict."),
        "bits": None if bits == DASH else bits,
        "range": between,
        "winner": name_of(part(result, "winner")),
        "against": against,
        "metrics": _metrics(cv),
    }


def _metrics(cv: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "name": score.title,
            "value": measured(score.name, cv[score.name])[0],
            "range": measured(score.name, cv[score.name])[1],
            "meaning": "higher is better" if score.higher_is_better else "lower is better",
        }
        for score in SCORES
        if cv.get(score.name)
    ]


def ladder(result: Result) -> Section:
    """Every candidate, in climbing order, in the scores there are."""
    rungs, chosen, named = items(result.get("ladder")), winner_rung(result), titles(result)
    if not rungs:
        return None
    shown = [name for name in SHOWN if any(part(rung, "cv").get(name) for rung in rungs)]
    third = next((name for name in BESIDE if name in shown), None)
    first = [name for name in shown if name in ("bits_per_byte", "bleu", third)]
    rows = [_rung(rung, place == chosen, first, shown, named) for place, rung in enumerate(rungs)]
    marks = [
        charts.Mark(row["title"], Range.of(part(rung, "cv").get("bits_per_byte")), row["chosen"], "skipped")
        for rung, row in zip(rungs, rows, strict=True)
    ]
    chart = drawn(lambda width: charts.ladder_in_bits(marks, width)) if any(mark.score for mark in marks) else None
    heads = [title_of(name) for name in first]
    aside = part(result, "selection").get("aside")
    return {"chart": chart, "aside": aside, "heads": heads, "all": [title_of(name) for name in shown], "rungs": rows}


def _rung(
    rung: Mapping[str, Any], chosen: bool, first: list[str], shown: list[str], named: Mapping[str, str]
) -> dict[str, Any]:
    cv = part(rung, "cv")
    return rung_head(rung, chosen) | {
        "first": [(title_of(name), *measured(name, cv.get(name))) for name in first],
        "scores": [(title_of(name), *measured(name, cv.get(name))) for name in shown],
        "against": _against(rung, named),
    }


def _against(rung: Mapping[str, Any], named: Mapping[str, str]) -> Comparison | None:
    """Against the strongest thing that needs no tuning: examples before the prompt, else the prompt alone."""
    return comparison(rung.get("against_few_shot") or rung.get("against_zero_shot"), named)


def samples(result: Result) -> Section:
    """The same held-out prompts answered by each way, side by side, to be marked with the names hidden or not."""
    rows = [_sample(one) for one in items(result.get("samples"))]
    rows = [row for row in rows if row["answers"]]
    known = [way for way in WAYS if any(way == answer["way"] for row in rows for answer in row["answers"])]
    pair = {"first": known[-1], "others": [(way, WAYS[way]) for way in known[-2::-1]]} if len(known) > 1 else None
    return {"rows": rows, "pair": pair, "seed": int(finite(result.get("seed")) or 0)} if rows else None


def _sample(one: Mapping[str, Any]) -> dict[str, Any]:
    answers = part(one, "answers")
    said = [{"role": str(turn.get("role")), "content": str(turn.get("content"))} for turn in items(one.get("messages"))]
    asked = "\n".join(f"{turn['role']}: {turn['content']}" for turn in said) or one.get("prompt")
    return {
        "row": count(one.get("row")),
        "id": str(one.get("id") or ""),
        "whole": str(one.get("prompt") or ""),
        "messages": json.dumps(said, ensure_ascii=False) if said else "",
        "prompt": clip(asked, LONGEST, lines=True),
        "given": clip(one.get("completion"), LONGEST_ANSWER, lines=True),
        "answers": [
            {
                "way": way,
                "words": words,
                "whole": str(answers[way] or ""),
                "text": clip(answers[way], LONGEST_ANSWER, lines=True),
            }
            for way, words in WAYS.items()
            if way in answers
        ],
    }


def test(result: Result) -> Section:
    """The test file, read once at the end."""
    block, cv = part(result, "test"), part(result, "winner", "cv")
    if not block:
        return None
    rows = [
        {"name": one.title, "test": measured(one.name, block[one.name]), "cv": measured(one.name, cv.get(one.name))}
        for one in SCORES
        if Range.of(block.get(one.name))
    ]
    return test_read(block) | {
        "metrics": rows,
        "leaks": len(items(block.get("leaks"))),
        "notes": sentences(block.get("notes")),
        "signatures": [(title_of(str(name)), clip(told, 300).text) for name, told in part(block, "signatures").items()],
    }
