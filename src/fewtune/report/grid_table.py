"""What `fewtune study grid` found, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fewtune.report.formats_table import STYLES
from fewtune.report.terminal import plain
from fewtune.study.grid import shown
from fewtune.study.measure import ACCURACY, MEASURES, Measure

WIDEST = 12
"""Letters of a setting's column that are never folded."""


def grid_table(found: Mapping[str, Any]) -> RenderableType:
    """Every candidate, the best first; `*` marks the one to take. Then what was dropped, and the cautions."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in found["grid"]:
        longest = max(len(shown(one["settings"][name])) for one in found["candidates"])
        table.add_column(plain(name), overflow="fold", min_width=min(WIDEST, max(len(name), longest)))
    measure = MEASURES[found.get("metric", "accuracy")]
    for heading in (measure.title, "95 % interval", measure.short):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Against default")
    for place in _order(found):
        table.add_row(*_row(found, place, measure))
    lines = [plain(found["sentence"], "bold"), plain(found["choosing"]["sentence"]), plain(_how(found))]
    return Group(table, Text(), *lines)


def _order(found: Mapping[str, Any]) -> list[int]:
    """Those judged to the end before those dropped, the best first."""
    every, measure = found["candidates"], MEASURES[found.get("metric", "accuracy")]

    def rank(place: int) -> tuple[int, float]:
        score = every[place][measure.name]
        return -every[place]["splits"], 0.0 if score is None else -measure.shown(score["mean"])

    return sorted(range(len(every)), key=rank)


def _row(found: Mapping[str, Any], place: int, measure: Measure) -> list[Text]:
    one = found["candidates"][place]
    score, against = one[measure.name], one["against_default"]
    verdict = "the default" if place == 0 else "" if against is None else against["verdict"]
    if one["dropped"] is not None:
        verdict = "its loss diverged" if one["dropped"]["reason"] else f"dropped after {one['splits']} splits"
    return [
        plain("*" if place == found["take"] else " "),
        *[plain(shown(value)) for value in one["settings"].values()],
        plain("–" if score is None else measure.number(score["mean"]) + (" %" if measure is ACCURACY else "")),
        plain("" if score is None else f"{measure.number(score['low'])}-{measure.number(score['high'])}"),
        plain("" if against is None else f"{abs(measure.scale) * against['difference']:+.{measure.digits}f}"),
        plain(verdict, "dim" if one["dropped"] is not None else STYLES.get(verdict, "")),
    ]


def _how(found: Mapping[str, Any]) -> str:
    every = found["candidates"]
    said = [
        f"Each verdict is made at {100 * found['level']:.1f} %: chance alone calls any setting better or worse in at "
        "most one grid of twenty."
    ]
    if dropped := sum(one["dropped"] is not None for one in every):
        saved = found["runs_of_all"] - found["runs"]
        said.append(
            f"{dropped} of {len(every)} were dropped on the way, and {saved} of {found['runs_of_all']} runs saved; "
            f"the truly best one is dropped with a probability of at most {100 * found['risk']:g} %."
        )
    if found["unfinished"]:
        said.append(
            f"The budget was spent after {found['splits_judged']} of {found['splits']} splits: the same command with a "
            "larger one goes on."
        )
    return " ".join(said)


__all__ = ["grid_table"]
