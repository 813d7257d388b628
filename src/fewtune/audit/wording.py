"""How checks say where rows are: `12 training rows (3 %) and 1 test row (0.4 %)`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fewtune.audit.base import CALLED, Ground, Row


def rows_said(ground: Ground, rows: Iterable[Row]) -> str:
    """How many rows of each part, with their share of it."""
    counts = Counter(row.part for row in rows)
    said = []
    for part, data in ground.parts:
        if count := counts[part]:
            said.append(f"{count:,} {CALLED[part]} row{'' if count == 1 else 's'} ({percent(count / len(data))})")
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def share_of(ground: Ground, rows: Iterable[Row]) -> float:
    """The largest share of a part that the rows make up."""
    counts = Counter(row.part for row in rows)
    return max((counts[part] / len(data) for part, data in ground.parts if len(data)), default=0.0)


def percent(share: float) -> str:
    """`12 %`, `0.4 %`; what is not nothing is not said to be."""
    value = 100 * share
    if 0 < value < 0.1:
        return "under 0.1 %"
    return f"{value:.0f} %" if value >= 2 else f"{value:.1f} %"
