"""The result of a preference tuning in a terminal: the candidates, the verdict, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from fewtune.report.sections import beside, preferred
from fewtune.report.terminal import compared, plain, rungs_table, to_do
from fewtune.report.words import Comparison

HEADS = ("Better found", "Moved right", "Bits/byte")


def ladder_table(result: Mapping[str, Any]) -> RenderableType:
    """Every candidate; `*` marks the one that is kept."""
    view = preferred.ladder(result)
    return rungs_table(view["rungs"] if view else [], HEADS, "Against first stage", _cells)


def _cells(rung: Mapping[str, Any]) -> tuple[list[str], Comparison | None]:
    return [value.replace("–", "-") for _, value, _ in rung["first"]], rung["against"]


def summary(result: Mapping[str, Any]) -> RenderableType:
    """The verdict, what it was held against, the test file, what was forgotten, what to do next."""
    head = preferred.headline(result)
    parts: list[RenderableType] = [Text(), plain(head["verdict"], "bold"), Text()]
    for words, found in head["against"]:
        parts.append(plain(f"Tuning against {words}: ").append_text(compared(found)).append("."))
    tested = preferred.test(result)
    if tested is not None:
        told = [
            f"{row['name'].lower()} {row['after'][0]} (first stage {row['before'][0]})" for row in tested["metrics"]
        ]
        parts.append(plain(f"On the test file: {'; '.join(told[:1]) or tested['no_score']}."))
    forgot = beside.forgetting(result)
    said = [one["sentence"] for one in forgot["sets"]] + forgot["skipped"] if forgot else []
    parts += map(plain, said)
    parts += to_do(result)
    return Group(*parts)
