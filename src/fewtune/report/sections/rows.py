"""Rows worth a look, what was found in the data, and how to get the same numbers again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from fewtune.report.sections.base import Result, Section, items, part, sentences
from fewtune.report.words import clip, count, duration, finite, share

MOST_ROWS = 20
"""Suspect or unsure rows shown at once; the rest unfolds."""
ALL_ROWS = 200
KEYS = ("what", "reason", "do")
"""Rows written to the page; `result.json` holds the others."""


def suspects(result: Result) -> Section:
    """Rows whose label is most likely wrong, worst first."""
    found = items(result.get("suspects"))
    rows = [
        _text_row(one)
        | {"given": clip(one.get("given"), 80).text, "suggested": clip(one.get("suggested"), 80).text}
        | {"believed": share(one.get("probability_given"), 0), "instead": share(one.get("probability_suggested"), 0)}
        for one in found[:ALL_ROWS]
    ]
    return _folded(rows, len(found))


def unsure(result: Result) -> Section:
    """Rows the model hesitates over."""
    found = items(result.get("unsure"))
    rows = [
        _text_row(one)
        | {"given": clip(one.get("given"), 80).text}
        | {"top": [(clip(t.get("label"), 80).text, share(t.get("probability"), 0)) for t in items(one.get("top"))[:3]]}
        for one in found[:ALL_ROWS]
    ]
    return _folded(rows, len(found))


def _text_row(entry: Mapping[str, Any]) -> dict[str, Any]:
    name = entry.get("id")
    name = "" if name is None or str(name) == str(entry.get("row")) else clip(name, 24).text
    return {"row": count(entry.get("row")), "id": name, "text": clip(entry.get("text"))}


def _folded(rows: list[dict[str, Any]], total: int) -> Section:
    return {"first": rows[:MOST_ROWS], "more": rows[MOST_ROWS:], "total": total} if rows else None


def data(result: Result) -> Section:
    """What was found while reading the file."""
    block = part(result, "data")
    extra = part(block, "unlabelled")
    facts = [
        ("Text column", clip(block.get("text_column"), 80).text),
        ("Label column", clip(block.get("label_column"), 80).text),
        ("Rows that repeat another", count(block["duplicates"]) if finite(block.get("duplicates")) is not None else ""),
        ("Unlabelled texts", f"{count(extra.get('rows'))} from {clip(extra.get('source'), 120).text}" if extra else ""),
    ]
    warnings = [{key: clip(one.get(key), 600).text for key in KEYS} for one in items(result.get("warnings"))]
    found = {"facts": [fact for fact in facts if fact[1]], "notes": sentences(block.get("notes")), "warnings": warnings}
    return found if any(found.values()) else None


def reproduce(result: Result) -> Section:
    """All it takes to get the same numbers again."""
    hardware, source, seed = part(result, "hardware"), result.get("source"), result.get("seed")
    cores, memory = finite(hardware.get("cores")), finite(hardware.get("memory_gib"))
    machine = [
        clip(hardware.get("cpu"), 80).text,
        f"{count(cores)} core{'s' if cores != 1 else ''}" if cores else "",
        f"{memory:.0f} GiB" if memory else "",
        clip(hardware.get("device"), 80).text,
        clip(hardware.get("precision"), 40).text,
    ]
    command = f"fewtune fit {shlex.quote(str(source))}" + ("" if seed is None else f" --seed {seed}") if source else ""
    facts = [
        ("Seed", "" if seed is None else clip(seed, 40).text),
        ("Time taken", duration(result.get("seconds")) if result.get("seconds") is not None else ""),
        ("Time allowed", duration(result.get("budget_seconds")) if result.get("budget_seconds") is not None else ""),
        ("Data fingerprint", clip(part(result, "data").get("fingerprint"), 120).text),
        ("Machine", ", ".join(filter(None, machine))),
        ("Versions", ", ".join(f"{k} {v}" for k, v in part(result, "versions").items())),
    ]
    recipe = part(result, "winner", "recipe")
    return {
        "command": clip(result.get("command") or command, 2000).text,
        "recipe": json.dumps(recipe, indent=2, ensure_ascii=False)[:20_000] if recipe else "",
        "facts": [fact for fact in facts if fact[1]],
    }
