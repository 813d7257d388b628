"""Whether preference tuning is kept: only where it is better than the first stage, choosing included.

What is tested is the procedure: inside each split method and length are chosen without that split's rows, and the
preferences of those rows are what counts. Nothing that was tried and dropped can flatter it.
"""

from __future__ import annotations

from dataclasses import replace

from fewtune.metrics.base import OutOfFold
from fewtune.metrics.paired import Comparison, compare
from fewtune.study.choice import FIRST_STAGE
from fewtune.study.ladder import Climb


def against_first(climb: Climb, oof: OutOfFold) -> Comparison:
    """The paired comparison with the model as it was."""
    first = first_stage(climb)
    return compare(oof.row_scores, first.row_scores, first.held_out, rows=len(first.labels_N), groups=first.groups)


def first_stage(climb: Climb) -> OutOfFold:
    """What the first stage made of the held-out rows."""
    judged = climb.rungs[first_place(climb)].judged
    assert judged is not None, "the first stage is always judged"
    return judged.oof


def first_place(climb: Climb) -> int:
    """Its place in the ladder."""
    return next(place for place, rung in enumerate(climb.rungs) if rung.recipe.method.name == FIRST_STAGE)


def kept(climb: Climb) -> Climb:
    """The climb, its winner the first stage unless tuning is better."""
    if against_first(climb, climb.headline).verdict == "better":
        return climb
    return replace(climb, winner=first_place(climb))


__all__ = ["against_first", "first_place", "first_stage", "kept"]
