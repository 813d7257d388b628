"""How often every candidate was fitted, and on which parts of the rows, as a result says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewtune.study.ladder import Climb
    from fewtune.tune.run import Context


def resampling(climb: Climb, context: Context) -> dict[str, Any]:
    """Folds, repeats, splits, and whether rows of one group were kept together, with how many groups there are."""
    oof = climb.headline
    splits = len(oof.held_out)
    folds = max(1, round(len(oof.tested_N) * splits / len(oof.rows_M)))
    found = {"folds": folds, "repeats": max(1, splits // folds), "splits": splits}
    kinds = len(context.dataset) if context.groups is None else len(set(context.groups))
    grouped = kinds < len(context.dataset)
    return {**found, "groups": grouped, **({"group_count": kinds} if grouped else {})}


def times(repeats: int) -> str:
    """How often folds were dealt, in words."""
    return "once" if repeats == 1 else f"{repeats} times over"


def dealt(found: dict[str, Any], *, given: bool) -> str:
    """On which parts of rows to write, in words."""
    how = "on the splits that were given" if given else f"in {found['folds']} folds, {times(found['repeats'])}"
    return how + (", rows of one prompt or group kept together" if found["groups"] else "")


__all__ = ["dealt", "resampling", "times"]
