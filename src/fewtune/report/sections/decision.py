"""What was decided: the headline, what to do next, the ladder, how the choice was made."""

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
    sentences,
    source_of,
    titles,
    winner_rung,
)
from fewtune.report.words import (
    DASH,
    METRICS,
    NBSP,
    Range,
    clip,
    comparison,
    count,
    finite,
    interval,
    measure,
    of_hundred,
    share,
    signed,
)


def headline(result: Result) -> dict[str, Any]:
    """The verdict, the number, and what it was held against."""
    verdict, cv, named = part(result, "verdict"), part(result, "winner", "cv"), titles(result)
    accuracy = Range.of(cv.get("accuracy"))
    against = {"always answering the largest class": "against_majority", "no training at all": "against_zero_shot"}
    held = [(words, comparison(verdict.get(key), named)) for words, key in against.items()]
    return {
        "source": source_of(result),
        "rows": result.get("rows"),
        "classes": len(items(result.get("classes"))),
        "verdict": str(verdict.get("sentence") or "This result holds no verdict."),
        "accuracy": share(accuracy.mean) if accuracy else None,
        "range": interval(accuracy),
        "words": of_hundred(accuracy) if accuracy else None,
        "winner": name_of(part(result, "winner")),
        "against": [(words, found) for words, found in held if found],
        "metrics": _metrics(cv),
    }


def _metrics(cv: Mapping[str, Any]) -> list[dict[str, str]]:
    found = [(key, Range.of(cv.get(key))) for key in METRICS if key != "accuracy"]
    rows = [(METRICS[key], measure(key, value)) for key, value in found if value]
    return [{"name": n, "meaning": m, "value": value, "range": between} for (n, m), (value, between) in rows]


def advice(result: Result) -> Section:
    """What to do next."""
    found = items(part(result, "verdict").get("advice"))
    entries = [{"do": str(one["do"]), "why": str(one.get("why") or "")} for one in found if one.get("do")]
    return {"advice": entries} if entries else None


def ladder(result: Result) -> Section:
    """Every candidate, in climbing order."""
    rungs, chosen, named = items(result.get("ladder")), winner_rung(result), titles(result)
    if not rungs:
        return None
    marks = [
        charts.Mark(
            label=name_of(rung),
            score=Range.of(part(rung, "cv").get("accuracy")),
            chosen=place == chosen,
            note="skipped" if rung.get("status") == "skipped" else "no score",
        )
        for place, rung in enumerate(rungs)
    ]
    scored = [mark.score is not None for mark in marks]
    rows = [_rung(rung, mark, named) for rung, mark in zip(rungs, marks, strict=True)]
    return {
        "chart": drawn(lambda width: charts.ladder(marks, baseline(result), width)) if any(scored) else None,
        "rungs": rows,
    }


def _rung(rung: Mapping[str, Any], mark: charts.Mark, named: Mapping[str, str]) -> dict[str, Any]:
    head, again = rung_head(rung, mark.chosen), finite(rung.get("reseeded"))
    if again:
        head["notes"].append(f"{count(again)} run{'s' if again != 1 else ''} restarted with another seed.")
    return head | {
        "score": share(mark.score.mean) if mark.score else None,
        "range": interval(mark.score),
        "order": mark.score.mean if mark.score else -1.0,
        "below": comparison(rung.get("against_below"), named),
        "seconds": finite(rung.get("seconds")),
    }


def baseline(result: Result) -> float | None:
    """Accuracy of always answering the largest class."""
    for rung in items(result.get("ladder")):
        if rung.get("name") == "majority" and (score := Range.of(part(rung, "cv").get("accuracy"))):
            return score.mean
    rows = [finite(entry.get("rows")) or 0.0 for entry in items(result.get("classes"))]
    return max(rows) / sum(rows) if rows and sum(rows) else None


def choice(result: Result) -> Section:
    """How the winner was picked, and how often resampling picks it again."""
    told = [part(result, key).get("sentence") for key in ("selection", "resampling")]
    picked = [(name, finite(value)) for name, value in part(result, "winner", "selected_share").items()]
    named = titles(result)
    rows = sorted([(named.get(k, clip(k, 80).text), v) for k, v in picked if v is not None], key=lambda r: -r[1])
    title = "How often each candidate is picked when a fold's rows are hidden"
    bars = drawn(lambda width: charts.shares(rows, width, title)) if rows else None
    found = {"sentences": sentences(told), "bars": bars, "title": title, "beliefs": _beliefs(result)}
    return found if found["sentences"] or bars else None


def _beliefs(result: Result) -> list[dict[str, str]]:
    """What was measured here, what is published, and what the two make together, as points ahead of the probe."""
    named, columns = titles(result), (("observed", "observed_error"), ("prior", "prior_spread"))
    rows = []
    for one in items(part(result, "selection").get("beliefs")):
        cells = [_give_or_take(one.get(mean), one.get(spread)) for mean, spread in columns]
        together = _give_or_take(one.get("posterior"), one.get("posterior_spread"))
        name = str(one.get("name") or "")
        title = clip(one.get("title") or named.get(name, name), 80).text
        weight = share(one.get("data_weight"), 0)
        rows.append({"title": title, "here": cells[0], "published": cells[1], "together": together, "weight": weight})
    return rows


def _give_or_take(mean: Any, spread: Any) -> str:
    """`+2.4 ± 1.1`."""
    centre, width = finite(mean), finite(spread)
    if centre is None:
        return DASH
    return signed(centre) + (f"{NBSP}±{NBSP}{100 * width:.1f}" if width else "")
