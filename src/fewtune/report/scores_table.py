"""Scores of written text, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from fewtune.metrics.text_scores import SCORES
from fewtune.report.terminal import plain

UNITS = {score.name: score.unit for score in SCORES}
TITLES = {score.name: score.title for score in SCORES}
DIGITS = {"share": 1, "points": 1, "nats": 3, "bits": 3, "times": 2}
STYLES = {"better": "green", "worse": "red", "cannot be told apart": "dim"}
BESIDE = {"rows", "signatures", "absent", "notes", "slot_errors"}
"""What stands in the same mapping as the scores and is none."""


def shown(name: str, value: float | None, *, sign: bool = False) -> str:
    """A value of a score in its unit: shares in per cent, BLEU in points, a loss in nats."""
    if value is None:
        return "–"
    unit = UNITS.get(name)
    scale, digits = (100, 1) if unit == "share" else (1, DIGITS.get(unit or "", 3))
    return f"{scale * value:{'+' if sign else ''}.{digits}f}{' %' if unit == 'share' and not sign else ''}"


def scores_table(found: Mapping[str, Any]) -> RenderableType:
    """Every score with its interval; beside it, where there is one, the other system's and the verdict."""
    scores, other = found["scores"], found.get("against", {}).get("scores")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("Score", "", "95 % interval", *(("Other", "Difference", "Verdict") if other else ())):
        table.add_column(heading, justify="left" if heading in ("Score", "Verdict") else "right", no_wrap=True)
    for name in [name for name in scores if name not in BESIDE]:
        one = scores[name]
        cells = [plain(TITLES.get(name, name)), plain(shown(name, one["mean"])), plain(_interval(name, one))]
        if other:
            cells += _against(name, other.get(name), found["comparisons"].get(name))
        table.add_row(*cells)
    return Group(table, *(plain(line) for line in _below(found)))


def _interval(name: str, one: Mapping[str, float | None]) -> str:
    low, high = (shown(name, one[key]).removesuffix(" %") for key in ("low", "high"))
    return f"{low} to {high}"


def _against(name: str, other: Mapping[str, Any] | None, comparison: Mapping[str, Any] | None) -> list[Any]:
    if other is None or comparison is None:
        return [plain("–"), plain(""), plain("")]
    # A comparison's difference is positive where the first is better; a person reads plus as more.
    verdict = comparison["verdict"]
    ends = [shown(name, comparison[key], sign=True) for key in ("difference", "low", "high")]
    difference = f"{ends[0]} ({ends[1]} to {ends[2]})"
    return [plain(shown(name, other["mean"])), plain(difference), plain(verdict, STYLES.get(verdict, ""))]


def _below(found: Mapping[str, Any]) -> list[str]:
    """What stands under the table."""
    scores = found["scores"]
    compared = " Differences are positive where the first is better." if "against" in found else ""
    lines = [f"{scores['rows']} rows.{compared}"]
    if errors := scores.get("slot_errors"):
        made = ", ".join(f"{errors[part]:.0f} {part}" for part in ("missing", "repeated", "added"))
        own = f"{100 * errors['references']:.1f} %"
        lines.append(f"Of {errors['slots']:.0f} slots: {made}. By the same count the references err in {own}.")
    signatures = scores["signatures"]
    lines += [f"{TITLES[name]}: {signatures[name]}" for name in ("bleu", "chrf") if name in signatures]
    for reason in dict.fromkeys(scores["absent"].values()):
        without = ", ".join(TITLES[name] for name, why in scores["absent"].items() if why == reason)
        lines.append(f"Without {without}: {reason}.")
    return [*lines, *scores["notes"]]


__all__ = ["scores_table", "shown"]
