"""Why to believe it: the test file, the classes, the confusions, the confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewtune.audit.leaks import KINDS
from fewtune.report import charts
from fewtune.report.sections.base import Result, Section, class_names, drawn, items, part, test_read
from fewtune.report.words import METRICS, Range, clip, finite, interval, measure, share

MOST_CLASSES = 20
"""More classes than this: charts hold the weakest or most confused ones, tables hold all."""
MOST_LEAKS = 200


def test(result: Result) -> Section:
    """The test file, read once at the end."""
    block = part(result, "test")
    if not block:
        return None
    cv, spoilt, reading = part(result, "winner", "cv"), part(block, "with_leaks"), part(block, "reading")
    found = [(key, Range.of(block.get(key)), Range.of(spoilt.get(key)), Range.of(cv.get(key))) for key in METRICS]
    rows = [
        {"name": METRICS[key][0], "columns": [measure(key, one) for one in (scored, spoilt_score, before)]}
        for key, scored, spoilt_score, before in found
        if scored
    ]
    leaks = [
        {"row": leak.get("row"), "train_row": leak.get("train_row")}
        | {"kind": _measure_of(leak.get("kind")), "text": clip(leak.get("text"), 240)}
        for leak in items(block.get("leaks"))
    ]
    return test_read(block) | {
        "metrics": rows,
        "reading_warns": bool(reading.get("before") or reading.get("changed")),
        "spoilt": any(Range.of(value) for value in spoilt.values()),
        "said": _held_up(Range.of(block.get("accuracy")), Range.of(cv.get("accuracy"))),
        "leaks": leaks[:MOST_LEAKS],
        "leak_count": len(leaks),
        "classes": class_table(block.get("per_class")),
        "confusion": confusion_of(block.get("confusion"), class_names(result)),
    }


def _measure_of(kind: Any) -> str:
    """What makes a row a leak, in words."""
    return {str(name): words for name, words in KINDS.items()}.get(str(kind), clip(kind, 40).text)


def _held_up(test_score: Range | None, forecast: Range | None) -> str:
    """Whether the test score bears out what cross-validation announced."""
    if test_score is None or forecast is None:
        return ""
    if test_score.low <= forecast.high and forecast.low <= test_score.high:
        return "It agrees with what cross-validation announced."
    where = "below" if test_score.mean < forecast.mean else "above"
    return f"It lies {where} what cross-validation announced: these texts differ from the training file."


def classes(result: Result) -> Section:
    """Precision, recall and F1 of each class, weakest first."""
    table = class_table(part(result, "winner").get("per_class"))
    if table is None:
        return None
    marks = [charts.Mark(row["name"], row["score"]) for row in table["rows"] if row["score"]][:MOST_CLASSES]
    table["chart"] = drawn(lambda width: charts.class_scores(marks, width)) if marks else None
    table["drawn"] = len(marks)
    return table


def class_table(entries: Any) -> Section:
    """One line a class, weakest F1 first; classes without a score last."""
    rows: list[dict[str, Any]] = [
        {
            "name": clip(entry.get("name"), 80).text,
            "rows": finite(entry.get("rows")),
            "score": Range.of(entry.get("f1")),
            "measures": [_cell(Range.of(entry.get(key))) for key in ("f1", "precision", "recall")],
        }
        for entry in items(entries)
    ]
    rows.sort(key=lambda row: row["score"].mean if row["score"] else 2.0)
    return {"rows": rows} if rows else None


def _cell(value: Range | None) -> dict[str, Any]:
    return {
        "value": share(value.mean) if value else "–",
        "range": interval(value),
        "order": value.mean if value else -1,
    }


def confusion(result: Result) -> Section:
    """Given labels against predicted ones, out of fold."""
    return confusion_of(part(result, "winner").get("confusion"), class_names(result))


def confusion_of(matrix: Any, names: Sequence[str]) -> Section:
    """The confused pairs as a table, and the matrix of the classes involved."""
    size = len(names)
    square = isinstance(matrix, list) and len(matrix) == size > 0
    if not square or not all(isinstance(row, list) and len(row) == size for row in matrix):
        return None
    counts = [[round(finite(cell) or 0.0) for cell in row] for row in matrix]
    found = [(counts[g][p], g, p) for g in range(size) for p in range(size) if g != p and counts[g][p]]
    found.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    shown = _involved([(g, p) for _, g, p in found], size)
    kept = [[counts[g][p] for p in shown] for g in shown]
    pairs = [
        {"given": names[g], "predicted": names[p], "rows": rows, "part": share(rows / max(1, sum(counts[g])), 0)}
        for rows, g, p in found[: 8 if size <= MOST_CLASSES else 16]
    ]
    chart = drawn(lambda width: charts.confusion(kept, [names[g] for g in shown], width)) if shown else None
    rows = sum(map(sum, counts))
    right = sum(counts[g][g] for g in range(size))
    return {"pairs": pairs, "chart": chart, "shown": len(shown), "size": size, "rows": rows, "right": right}


def _involved(pairs: Sequence[tuple[int, int]], size: int) -> list[int]:
    """All classes when they are few; otherwise those of the most confused pairs, in their usual order."""
    if size <= MOST_CLASSES:
        return list(range(size))
    kept: set[int] = set()
    for pair in pairs:
        if len(kept | set(pair)) > MOST_CLASSES:
            break
        kept |= set(pair)
    return sorted(kept)


def calibration(result: Result) -> Section:
    """Whether stated confidence can be believed, and from which confidence on to answer."""
    block, told = part(result, "winner", "calibration"), _abstain(part(result, "winner", "abstain"))
    bins = [
        charts.Bin(round(finite(one.get("rows")) or 0.0), stated, right)
        for one in items(block.get("bins"))
        if (stated := finite(one.get("confidence"))) is not None
        and (right := Range.of({**one, "mean": one.get("accuracy")}))
    ]
    sentence = _temperature(block)
    chart = drawn(lambda width: charts.reliability(bins, width), 400.0) if bins else None
    return {"chart": chart, "sentence": sentence, "abstain": told} if chart or sentence or told else None


def _temperature(block: Mapping[str, Any]) -> str:
    degree, before, after = (finite(block.get(key)) for key in ("temperature", "error_before", "error_after"))
    said = ""
    if degree is not None:
        raw = "too sure of itself" if degree > 1.05 else "too cautious" if degree < 0.95 else "about right"
        said = f"Before correction the model was {raw} (temperature {degree:.2f}). "
    if before is not None and after is not None:
        moved = "left" if share(before) == share(after) else "brought" if after < before else "raised"
        change = f"at {share(after)}" if moved == "left" else f"from {share(before)} to {share(after)}"
        said += f"Correction {moved} the gap between stated confidence and truth {change}: of the chosen method by "
        said += "itself, where the table of measures scores the choosing too, without correction."
    return said.strip()


def _abstain(block: Mapping[str, Any]) -> str:
    target, threshold = finite(block.get("target")), finite(block.get("threshold"))
    if target is None:
        return ""
    if threshold is None:
        reason = clip(block.get("reason"), 200).text
        why = f" ({reason})" if reason else ""
        return f"No confidence is high enough to be {share(target, 0)} right{why}: have a person check what matters."
    covered, right = finite(block.get("coverage")), Range.of(block.get("precision"))
    said = f"Answer only when the model states at least {share(threshold, 0)} confidence"
    if covered is not None:
        said += (
            f": it then answers {round(100 * covered)} of 100 texts and leaves {100 - round(100 * covered)} to a person"
        )
    if right:
        said += f". Of those answered, {share(right.mean)} are right ({interval(right)})"
    return f"{said}. The aim was {share(target, 0)} right."
