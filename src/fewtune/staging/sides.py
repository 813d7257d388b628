"""What each stage learns, and what all are examined on: no prompt of the one stands in the other, in any stage."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from fewtune.data.base import Dataset, Example
from fewtune.data.exchanges import groups_to_write
from fewtune.data.mixing import said
from fewtune.errors import TaskError
from fewtune.staging.plan import Plan

SHARES = 4
"""A group is small where so many of its size make up what is set aside."""


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
    groups = groups_to_write(Dataset(tuple(_apart(plan)), task="generation"))
    starts = np.cumsum([0, *(len(stage.train) for stage in plan.stages)]).tolist()
    of_stage = [groups[start:end] for start, end in itertools.pairwise(starts)]
    held: set[int] = set()
    for place, (stage, own) in enumerate(zip(plan.stages, of_stage, strict=True)):
        if stage.test is None:
            held |= _drawn(Counter(own), held, plan.test_share, np.random.default_rng([plan.seed, place]))
    return [{row for row, group in enumerate(own) if group in held} for own in of_stage]


def _drawn(sizes: Counter[int], held: set[int], share: float, rng: np.random.Generator) -> set[int]:
    """Groups of a stage to set aside, beside those `held` already: small ones first, since many tell more than a few.

    One group at least is left to be learnt.
    """
    wanted = max(1, round(share * sizes.total()))
    got = sum(sizes[group] for group in held if group in sizes)
    order = [group for group in rng.permutation(sorted(sizes)).tolist() if group not in held]
    order.sort(key=lambda group: sizes[group] > max(1, wanted // SHARES))
    found: set[int] = set()
    for group in order[:-1]:
        if got >= wanted or (got and got + sizes[group] > 2 * wanted):
            break
        found.add(group)
        got += sizes[group]
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
