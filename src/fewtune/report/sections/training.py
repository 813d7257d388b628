"""How training went: overfitting, and whether more labels would help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from fewtune.report import charts
from fewtune.report.sections.base import SMALL, Result, Section, drawn, items, name_of, part, titles, winner_rung
from fewtune.report.words import Range, clip, count, finite, interval, share

MOST_CURVES = 30
"""Splits drawn in one chart."""


def overfitting(result: Result) -> Section:
    """Loss curves of every rung that was trained by steps, and what they say."""
    rungs = []
    for place, rung in enumerate(items(result.get("ladder"))):
        curves = [_curve(entry) for entry in items(rung.get("curves"))]
        seen = [curve for curve in curves if curve.train or curve.validation][:MOST_CURVES]
        sentence = str(part(rung, "overfit").get("sentence") or "")
        if seen or sentence:
            title = name_of(rung)
            chart = Markup('<div class="chart">{}</div>').format(charts.losses(seen, SMALL, title)) if seen else None
            rungs.append({"title": title, "chosen": place == winner_rung(result), "chart": chart, "sentence": sentence})
    return {"rungs": rungs} if rungs else None


def _curve(entry: Mapping[str, Any]) -> charts.Curve:
    return charts.Curve(
        train=charts.points_of(entry.get("steps"), entry.get("train_loss")),
        validation=charts.points_of(entry.get("validation_steps"), entry.get("validation_loss")),
        best_step=finite(entry.get("best_step")),
    )


def learning(result: Result) -> Section:
    """Whether more labels would help."""
    block = part(result, "learning_curve")
    points = [_point(entry) for entry in items(block.get("points"))]
    known = sorted((point for point in points if point), key=lambda point: point[0])
    ahead = _point(part(block, "forecast"))
    chart = drawn(lambda width: charts.learning_curve(known, ahead, width)) if known else None
    rows = [(count(rows), share(score.mean), interval(score), False) for rows, score in known]
    rows += [(count(ahead[0]), share(ahead[1].mean), interval(ahead[1]), True)] if ahead else []
    sentence = str(block.get("sentence") or "")
    method = titles(result).get(str(block.get("method")), clip(block.get("method"), 80).text)
    return {"chart": chart, "sentence": sentence, "rows": rows, "method": method} if chart or sentence else None


def _point(entry: Mapping[str, Any]) -> tuple[float, Range] | None:
    rows, score = finite(entry.get("rows")), Range.of(entry.get("accuracy"))
    return (rows, score) if rows is not None and rows >= 0 and score else None
