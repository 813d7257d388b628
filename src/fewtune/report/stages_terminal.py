"""Several tunings in a terminal: stages by what they were examined on, and what was lost on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fewtune.report.sections import stages
from fewtune.report.terminal import plain, to_do


def stages_table(result: Mapping[str, Any]) -> RenderableType:
    """Bits per byte of every column after every stage; `*` marks what was just tuned on."""
    view = stages.table(result)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Bits per byte")
    for column in view["columns"] if view else ():
        table.add_column(plain(column["name"]), justify="right")
    for row in view["rows"] if view else ():
        cells = [plain(cell["bits"][0] + ("*" if cell["own"] else " ")) for _, cell in row["cells"]]
        table.add_row(plain(row["title"]), *cells)
    return table


def summary(result: Mapping[str, Any]) -> RenderableType:
    """The verdict, each change, the usual numbers, what to do next."""
    found = stages.moved(result)
    parts: list[RenderableType] = [Text(), plain(stages.headline(result)["verdict"], "bold"), Text()]
    if found:
        parts += [plain(one["sentence"]) for one in found["changes"]]
        parts += [plain(f"{one['name']} {one['value'][0]} ({one['value'][1]})") for one in found["numbers"]]
    parts += to_do(result)
    return Group(*parts)
