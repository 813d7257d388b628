"""What `fewtune study formats` found, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fewtune.report.terminal import plain

STYLES = {"better": "green", "worse": "red", "cannot be told apart": "dim"}


def formats_table(found: Mapping[str, Any]) -> RenderableType:
    """Every format with its accuracy, points against plain text, and the verdict; `*` marks the one to take."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("  Format")
    for heading in ("Accuracy", "95 % interval", "Points", "Against plain"):
        table.add_column(heading, justify="left" if heading == "Against plain" else "right", no_wrap=True)
    for one in found["formats"]:
        accuracy, against = one["accuracy"], one["against_plain"]
        verdict = "" if against is None else against["verdict"]
        table.add_row(
            plain(("* " if one["name"] == found["best"] else "  ") + one["title"]),
            plain(f"{100 * accuracy['mean']:.1f} %"),
            plain(f"{100 * accuracy['low']:.1f}-{100 * accuracy['high']:.1f}"),
            plain("" if against is None else f"{100 * against['difference']:+.1f}"),
            plain(verdict, STYLES.get(verdict, "")),
        )
    return Group(table, Text(), plain(found["sentence"], "bold"), plain(_how(found)))


def _how(found: Mapping[str, Any]) -> str:
    many = len(found["formats"]) - 1
    return (
        f"{many} formats were held against plain text on the same {found['splits']} splits, each verdict at "
        f"{100 * found['level']:.1f} %, so that chance alone calls any of them better or worse in at most one study "
        "of twenty."
    )
