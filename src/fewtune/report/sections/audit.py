"""The audit: what was found by severity, the classes, what was found fine, what was not looked at."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fewtune.report import charts
from fewtune.report.sections.base import Result, Section, drawn, items, part, sentences
from fewtune.report.words import clip, count, duration, finite

MOST_ROWS = 10
"""Rows of a finding shown at once; the rest unfolds."""
ALL_ROWS = 200
"""Rows of a finding written to the page; `audit.json` holds the others."""
MOST_CLASSES = 30
MOST_ENTRIES = 30
"""Entries of a list or table of measured values."""
PARTS = {"train": "Training rows", "test": "Test rows", "unlabelled": "Unlabelled rows"}
SEVERITIES = {
    "blocks": "would invalidate a result",
    "warning": "worth mending",
    "note": "good to know",
}
MOST_STEPS = 8


def headline(result: Result) -> dict[str, Any]:
    """The verdict, how many things were found, and of how many rows."""
    found = items(result.get("findings"))
    tally = [(sum(one.get("severity") == key for one in found), words, key) for key, words in SEVERITIES.items()]
    train = part(result, "parts", "train")
    source = str(train.get("source") or "unnamed data").replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return {
        "source": clip(source, 120).text,
        "rows": train.get("rows"),
        "classes": len(items(result.get("classes"))),
        "verdict": clip(part(result, "verdict").get("sentence") or "This audit holds no verdict.", 400).text,
        "tally": tally,
        "ran": sum(one.get("status") == "ran" for one in items(result.get("checks"))),
        "left": sum(one.get("status") in ("skipped", "failed") for one in items(result.get("checks"))),
    }


def advice(result: Result) -> Section:
    """What is the matter and what to do, the gravest first; findings with one remedy are one step."""
    steps: dict[str, list[str]] = {}
    for one in items(result.get("findings")):
        if one.get("severity") != "note" and one.get("do"):
            steps.setdefault(str(one["do"]), []).append(str(one.get("what") or ""))
    entries = [{"what": clip(" ".join(what), 600).text, "do": clip(do, 400).text} for do, what in steps.items()]
    if not part(result, "verdict").get("blocked"):
        entries.append(_fit(result, bool(entries)))
    return {"steps": entries[:MOST_STEPS]}


def _fit(result: Result, after: bool) -> dict[str, str]:
    if result.get("task") == "preference":
        return {
            "what": "Tune a model that writes with these preferences.",
            "do": "`fewtune prefer FOLDER FILE` holds what is learnt from them against the model it starts from.",
        }
    if not items(result.get("classes")) and result.get("task") != "generation":
        return {
            "what": "Label some of these rows.",
            "do": "`fewtune fit LABELLED --unlabelled FILE` learns from labelled rows and may use the others too.",
        }
    files = [shlex.quote(str(part(result, "parts", "train").get("source") or "FILE"))]
    for name in ("test", "unlabelled"):
        if source := part(result, "parts", name).get("source"):
            files.append(f"--{name} {shlex.quote(str(source))}")
    return {"what": "Then fit." if after else "Fit.", "do": f"`fewtune fit {clip(' '.join(files), 400).text}`"}


def findings(severity: str) -> Callable[[Result], Section]:
    """A section of every finding of one severity."""
    return partial(_findings, severity=severity)


def _findings(result: Result, *, severity: str) -> Section:
    titles = {str(one.get("name")): clip(one.get("title"), 80).text for one in items(result.get("checks"))}
    shown = [_one(one, titles) for one in items(result.get("findings")) if str(one.get("severity")) == severity]
    return {"findings": shown} if shown else None


def _one(found: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, Any]:
    given = items(found.get("rows"))
    rows = [_row(row) for row in given[:ALL_ROWS]]
    name = str(found.get("check") or "")
    parts = {row["part"] for row in rows}
    return {
        "title": titles.get(name) or clip(name, 60).text,
        "what": clip(found.get("what"), 600).text,
        "reason": clip(found.get("reason"), 1200).text,
        "do": clip(found.get("do"), 600).text,
        "first": rows[:MOST_ROWS],
        "more": rows[MOST_ROWS:],
        "total": len(given),
        "parts": len(parts) > 1,
        "caption": PARTS.get(next(iter(parts)), "Rows") if len(parts) == 1 else "Rows",
        "labels": any(row["label"] for row in rows),
        "notes": any(row["note"].text for row in rows),
        **numbers(found.get("numbers")),
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    name, number = row.get("id"), row.get("row")
    named = "" if name is None or str(name) == str(number) else clip(name, 24).text
    return {
        "part": str(row.get("part")) if str(row.get("part")) in PARTS else "",
        "row": count(number) if number else "–",
        "id": named,
        "text": clip(row.get("text")),
        "label": "" if row.get("label") is None else clip(row.get("label"), 80).text,
        "note": clip(row.get("note"), 240),
    }


def numbers(value: Any) -> dict[str, Any]:
    """Measured values: lists of objects and mappings as tables, everything else as facts."""
    facts, tables, small = [], [], []
    for key, held in part({"numbers": value}, "numbers").items():
        name = clip(str(key).replace("_", " ").capitalize(), 60).text
        if isinstance(held, list) and held and all(isinstance(entry, Mapping) for entry in held):
            tables.append(_table(name, items(held)))
        elif isinstance(held, Mapping) and held:
            rows = [{"": entry, "value": measured} for entry, measured in held.items()]
            small.append(_table(name, rows))
        else:
            facts.append((name, _plain(held)))
    return {"facts": [fact for fact in facts if fact[1]], "tables": tables, "small": small}


def _table(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    heads = list(dict.fromkeys(key for row in rows[:MOST_ENTRIES] for key in row))[:8]
    cells = [[{"text": _plain(row.get(key)), "number": _is_number(row.get(key))} for key in heads] for row in rows]
    return {
        "name": name,
        "heads": [clip(str(key).replace("_", " ").capitalize(), 40).text for key in heads],
        "right": [all(cell["number"] or cell["text"] == "–" for cell in column) for column in zip(*cells, strict=True)],
        "rows": cells[:MOST_ENTRIES],
        "total": len(rows),
    }


def _is_number(value: Any) -> bool:
    return finite(value) is not None


def _plain(value: Any) -> str:
    """A value in a cell: numbers to three figures, lists joined."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    number = finite(value)
    if number is not None:
        return f"{round(number):,}" if float(number).is_integer() or abs(number) >= 1000 else f"{number:.3g}"
    if isinstance(value, list):
        more = f" and {len(value) - MOST_ENTRIES} more" if len(value) > MOST_ENTRIES else ""
        return clip(", ".join(map(_plain, value[:MOST_ENTRIES])) + more, 1200).text
    if isinstance(value, Mapping):
        return clip(json.dumps(value, ensure_ascii=False), 240).text
    return clip(value, 240).text


def classes(result: Result) -> Section:
    """Rows of each class, the largest first."""
    sizes = [(clip(one.get("name"), 80).text, finite(one.get("rows")) or 0.0) for one in items(result.get("classes"))]
    sizes.sort(key=lambda one: (-one[1], one[0]))
    if not sizes:
        return None
    kept = sizes if len(sizes) <= MOST_CLASSES else [*sizes[: MOST_CLASSES // 2], *sizes[-MOST_CLASSES // 2 :]]
    chart = drawn(lambda width: charts.sizes(kept, width, "Rows of each class"))
    return {"chart": chart, "shown": len(kept), "total": len(sizes)}


def fine(result: Result) -> Section:
    """Checks that found nothing."""
    held = [one for one in items(result.get("checks")) if one.get("status") == "ran" and not one.get("findings")]
    return {"checks": [_check(one) for one in held]} if held else None


def left_out(result: Result) -> Section:
    """Checks that were not run, or could not be finished, and why."""
    held = [one for one in items(result.get("checks")) if one.get("status") in ("skipped", "failed")]
    return {"checks": [_check(one) for one in held]} if held else None


def _check(one: Mapping[str, Any]) -> dict[str, str]:
    return {
        "title": clip(one.get("title") or one.get("name"), 80).text,
        "question": clip(one.get("question"), 240).text,
        "reason": clip(one.get("reason"), 400).text,
        "status": str(one.get("status")),
    }


def data(result: Result) -> Section:
    """What was read, and what the reader chose."""
    found = [
        {
            "name": PARTS[name],
            "source": clip(block.get("source"), 120).text,
            "rows": count(block.get("rows")),
            "fingerprint": clip(block.get("fingerprint"), 40).text,
            "notes": [clip(note, 400).text for note in sentences(block.get("notes"))],
        }
        for name in PARTS
        if (block := part(result, "parts", name))
    ]
    return {"parts": found} if found else None


def reproduce(result: Result) -> Section:
    """All it takes to get the same findings again."""
    settings = part(result, "settings")
    facts = [
        ("Seed", "" if settings.get("seed") is None else clip(settings["seed"], 40).text),
        ("Backbone", clip(settings.get("backbone") or "none", 120).text),
        ("Time taken", duration(result.get("seconds")) if result.get("seconds") is not None else ""),
        ("Machine", clip(part(result, "hardware").get("cpu"), 80).text),
        ("Versions", clip(", ".join(f"{k} {v}" for k, v in part(result, "versions").items()), 600).text),
    ]
    source = part(result, "parts", "train").get("source")
    command = result.get("command") or (f"fewtune check {shlex.quote(str(source))}" if source else "")
    return {"command": clip(command, 2000).text, "facts": [fact for fact in facts if fact[1]], "times": _times(result)}


def _times(result: Result) -> list[tuple[str, str]]:
    held = [(one, finite(one.get("seconds"))) for one in items(result.get("checks"))]
    return [(clip(one.get("title"), 80).text, duration(seconds)) for one, seconds in held if seconds is not None]
