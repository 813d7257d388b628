"""Reading `result.json` without tripping: helpers that every section of the page is worked out with.

A section is one function of the result. It returns the values its template prints, or None when the result has nothing
for it: the section is then left out. Missing optional keys never raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from fewtune.report.words import clip, count, duration, finite, short

Section = dict[str, Any] | None
Result = Mapping[str, Any]

WIDE, SMALL = 720.0, 328.0
"""Chart widths: the text column of the page and of A4, and a phone of 360 px."""


def part(result: Any, *keys: str) -> dict[str, Any]:
    """The object at a path of keys; empty when any of it is absent or no object."""
    for key in keys:
        result = result.get(key) if isinstance(result, Mapping) else None
    return dict(result) if isinstance(result, Mapping) else {}


def items(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; empty for anything else."""
    return [dict(entry) for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def sentences(value: Any) -> list[str]:
    """The strings of a list, none of them empty."""
    return [entry for entry in value if isinstance(entry, str) and entry] if isinstance(value, list) else []


def test_read(block: Mapping[str, Any]) -> dict[str, Any]:
    """What every section on a test file says of its reading."""
    return {
        "source": clip(block.get("source") or "the test file", 120).text,
        "rows": count(block.get("rows")),
        "read_at": str(block.get("read_at") or ""),
        "no_score": clip(block.get("no_score"), 200).text,
        "reading": clip(part(block, "reading").get("sentence"), 600).text,
        "notes": [note for note in sentences(block.get("notes")) if "left out" in note],
    }


def drawn(chart: Callable[[float], Markup], wide: float = WIDE, narrow: float = SMALL) -> Markup:
    """A chart at both widths; the style sheet shows one of them."""
    both = '<div class="chart wide">{}</div><div class="chart narrow">{}</div>'
    return Markup(both).format(chart(wide), chart(narrow))


def titles(result: Result) -> dict[str, str]:
    """Method name → title; of several that one method has, for its lengths, what they have in common."""
    rungs = [rung for rung in (*items(result.get("ladder")), part(result, "winner")) if rung.get("name")]
    found: dict[str, list[str]] = {}
    for rung in rungs:
        found.setdefault(str(rung["name"]), []).append(name_of(rung))
    return {name: _in_common(several) for name, several in found.items()}


def _in_common(several: Sequence[str]) -> str:
    """`LoRA, 6 epochs` and `LoRA, 12 epochs` → `LoRA`; `Tuning` and `Tuning, 4 times as long` → `Tuning`."""
    return several[0] if len(set(several)) == 1 else min(several, key=len).partition(",")[0]


def name_of(rung: Mapping[str, Any]) -> str:
    """What a person calls a rung."""
    return clip(rung.get("title") or rung.get("name") or "unnamed", 80).text


def rung_head(rung: Mapping[str, Any], chosen: bool) -> dict[str, Any]:
    """What the ladder shows of any rung beside its scores."""
    size = finite(rung.get("trainable_parameters"))
    return {
        "title": name_of(rung),
        "backbone": clip(rung.get("backbone"), 60).text,
        "chosen": chosen,
        "skipped": rung.get("status") == "skipped",
        "reason": str(rung.get("reason") or "no reason was recorded"),
        "time": duration(rung.get("seconds")),
        "parameters": f"{short(size)} trained parameters" if size else "",
        "notes": sentences(rung.get("notes")),
    }


def source_of(result: Result) -> str:
    """What the rows are called: the last part of their path."""
    source = str(result.get("source") or "unnamed data").replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return clip(source, 120).text


def winner_rung(result: Result) -> int | None:
    """The winner's place in the ladder."""
    place = part(result, "winner").get("rung")
    return place if isinstance(place, int) and 0 <= place < len(items(result.get("ladder"))) else None


def class_names(result: Result) -> list[str]:
    """Class names in the order of the matrix."""
    return [clip(entry.get("name"), 80).text for entry in items(result.get("classes"))]
