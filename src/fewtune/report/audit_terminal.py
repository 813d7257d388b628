"""The audit in a terminal: the verdict, what was found with its first rows, what was not looked at.

Made for 80 columns and for terminals without colour, as `terminal.py` is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fewtune.report.sections import audit
from fewtune.report.sections.base import items, part
from fewtune.report.terminal import plain
from fewtune.report.words import clip

FIRST_ROWS = 3
WIDEST_TEXT = 90
MARKS = {"blocks": ("x", "bold red"), "warning": ("!", "yellow"), "note": ("-", "dim")}
HEADINGS = {"blocks": "Would invalidate a result", "warning": "Worth mending", "note": "Good to know"}


def summary(result: Mapping[str, Any]) -> RenderableType:
    """Everything a person must know before fitting."""
    head = audit.headline(result)
    colour = "bold red" if part(result, "verdict").get("blocked") else "bold"
    parts: list[RenderableType] = [Text(), plain(head["verdict"], colour)]
    found, several = items(result.get("findings")), len(part(result, "parts")) > 1
    for severity, heading in HEADINGS.items():
        held = [one for one in found if one.get("severity") == severity]
        if held:
            parts += [Text(), plain(heading, "bold")]
            parts += [_finding(one, severity, several) for one in held]
    parts += _left_out(result)
    return Group(*parts)


def _finding(one: Mapping[str, Any], severity: str, several: bool) -> RenderableType:
    mark, style = MARKS[severity]
    body: list[RenderableType] = [plain(clip(one.get("what"), 400).text)]
    if severity != "note":
        body += [plain(clip(one.get("reason"), 600).text, "dim")]
    rows = items(one.get("rows"))
    if rows:
        body.append(_rows(rows[:FIRST_ROWS], several))
    if len(rows) > FIRST_ROWS:
        body.append(plain(f"and {len(rows) - FIRST_ROWS:,} more rows", "dim"))
    if severity != "note":
        body.append(plain(f"> {clip(one.get('do'), 400).text}"))
    table = Table.grid(padding=(0, 1))
    table.add_row(plain(mark, style), Group(*body))
    return table


def _rows(rows: list[dict[str, Any]], several: bool) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for row in rows:
        number = f"row {row.get('row')}" if row.get("row") else clip(row.get("id"), 24).text
        where = f"{row.get('part')} {number}" if several else number
        said = plain(clip(row.get("text"), WIDEST_TEXT).text)
        label, note = clip(row.get("label"), 40).text, clip(row.get("note"), 120).text
        beside = ", ".join(filter(None, (label, note)))
        if beside:
            said.append_text(plain(f" ({beside})", "dim"))
        table.add_row(plain(where, "dim"), said)
    return Padding(table, (0, 0, 0, 2))


def _left_out(result: Mapping[str, Any]) -> list[RenderableType]:
    """What was not looked at, by reason: the same reason often holds for several checks."""
    view = audit.left_out(result)
    reasons: dict[str, list[str]] = {}
    for one in view["checks"] if view else ():
        why = f"could not be finished: {one['reason']}" if one["status"] == "failed" else one["reason"]
        reasons.setdefault(why, []).append(one["title"])
    if not reasons:
        return []
    table = Table.grid(padding=(0, 1))
    for why, titles in reasons.items():
        table.add_row(plain("."), plain("; ".join(titles)).append_text(plain(f": {why}", "dim")))
    return [Text(), plain("Not looked at", "bold"), table]
