"""What each stage learns, and what all are examined on: no prompt of the one stands in the other, in any stage."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fewtune.data.base import Dataset, Example
from fewtune.data.exchanges import groups_to_write
from fewtune.data.mixing import said
from fewtune.data.splits import holdout
from fewtune.errors import TaskError
from fewtune.staging.plan import Plan


@dataclass(frozen=True)
class Side:
    """Of one stage."""

    train: Dataset
    held_out: Dataset
    left_out: int = 0
    """Rows of its test file that stand among rows that are learnt."""


def sides(plan: Plan) -> list[Side]:
    """Rows to learn and rows held out of each stage.

    A stage with a test file is examined on it, without the rows that any stage learns; of the others `test_share` is
    set aside. A prompt that is set aside for one stage is learnt in none.

    Raises
    ------
    TaskError : of a stage nothing is left to be examined on, or to learn.
    """
    aside = _set_aside(plan)
    learnt = [
        stage.train.subset(row for row in range(len(stage.train)) if row not in aside[place])
        for place, stage in enumerate(plan.stages)
    ]
    known = {said(example) for dataset in learnt for example in dataset}
    found = []
    for place, stage in enumerate(plan.stages):
        held, left_out = stage.train.subset(sorted(aside[place] & _own(plan, place, aside))), 0
        if stage.test is not None:
            kept = [row for row, example in enumerate(stage.test) if said(example) not in known]
            held, left_out = stage.test.subset(kept), len(stage.test) - len(kept)
        for dataset, what in ((held, "to be examined on"), (learnt[place], "to learn")):
            if not len(dataset):
                remedy = "Give more rows, or a test file of other rows."
                raise TaskError(f"Stage {stage.name} has no row left {what}.", file=stage.train.source, remedy=remedy)
        found.append(Side(learnt[place], held, left_out))
    return found


def _own(plan: Plan, place: int, aside: list[set[int]]) -> set[int]:
    """Rows set aside for this stage's own sake; of a stage with a test file none are."""
    return aside[place] if plan.stages[place].test is None else set()


def _set_aside(plan: Plan) -> list[set[int]]:
    """[T] the rows of each stage that no stage learns."""
    where = [(place, row) for place, stage in enumerate(plan.stages) for row in range(len(stage.train))]
    groups = groups_to_write(Dataset(tuple(_apart(plan)), task="generation"))
    drawn = [number for number, (place, _) in enumerate(where) if plan.stages[place].test is None]
    held_groups: set[int] = set()
    if drawn:
        labels, own = [where[number][0] for number in drawn], [groups[number] for number in drawn]
        held = holdout(labels, own, share=plan.test_share, seed=plan.seed).test
        held_groups = {own[number] for number in held}
    found: list[set[int]] = [set() for _ in plan.stages]
    for number in np.flatnonzero(np.isin(groups, sorted(held_groups))):
        place, row = where[number]
        found[place].add(row)
    return found


def _apart(plan: Plan) -> list[Example]:
    """All rows, with ids and parents that are their stage's own."""
    return [
        replace(
            example,
            id=f"{stage.name}/{example.id}",
            parent=None if example.parent is None else f"{stage.name}/{example.parent}",
        )
        for stage in plan.stages
        for example in stage.train
    ]
