"""Runs side by side in one process, their products shared: what a GPU wants, which one small run leaves idle.

Runs are grouped by what they share (backbone, kind of method); what cannot be stacked is carried out alone. How many
are trained at a time is the smallest of what was asked for, what there are, and what memory holds. Out of memory halves
it: the runs under way start again in a smaller stack, those finished stay finished.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from fewtune.methods.base import TunedMethod
from fewtune.tune.course import Attempt
from fewtune.tune.executors.base import Executor
from fewtune.tune.memory import room
from fewtune.tune.run import Context, Outcome, Run, Tick, carry_out, outcome, watched
from fewtune.tune.stack import Member, train_stack

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

MOST_SLOTS = 64


class StackedExecutor(Executor):
    """Trains up to `slots` runs in one step.

    Parameters
    ----------
    slots : None leaves it to memory, up to `MOST_SLOTS`.
    """

    def __init__(self, slots: int | None = None) -> None:
        self.slots = slots

    def execute(
        self, plan: Sequence[Run], context: Context, *, tick: Tick | None = None
    ) -> Iterator[tuple[int, Outcome]]:
        """Groups one after another, each in stacks; what cannot be stacked comes first."""
        alone, groups = bundles(plan, context)
        for place in alone:
            yield place, carry_out(plan[place], context, tick=tick)
        for places in groups:
            yield from self.execute_group(plan, places, context, tick)

    def execute_group(
        self, plan: Sequence[Run], places: Sequence[int], context: Context, tick: Tick | None
    ) -> Iterator[tuple[int, Outcome]]:
        """Runs that can be stacked, in as large a stack as fits."""
        left = list(places)
        members = {place: _member(place, plan[place], context) for place in places}
        slots = self._slots([members[place] for place in places])
        while left:
            try:
                for place, found in self._one_stack(plan, [members[place] for place in left], slots, context, tick):
                    left.remove(place)
                    yield place, found
            except (MemoryError, RuntimeError) as error:
                if slots == 1 or not out_of_memory(error):
                    raise
                slots = max(1, slots // 2)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()

    def _slots(self, members: Sequence[Member]) -> int:
        asked = min(self.slots or MOST_SLOTS, len(members))
        return min(asked, room(members)) if self.slots is None else asked

    def _one_stack(
        self, plan: Sequence[Run], members: Sequence[Member], slots: int, context: Context, tick: Tick | None
    ) -> Iterator[tuple[int, Outcome]]:
        if slots == 1:  # a stack of one is a run alone
            yield from ((member.place, carry_out(plan[member.place], context, tick=tick)) for member in members)
            return
        started = time.perf_counter()
        for left, (place, fitted) in zip(
            range(len(members), 0, -1), train_stack(members, slots=slots, tick=tick), strict=True
        ):
            found = outcome(plan[place], fitted, context)
            # Company shares the time: what each cost is the time since the last, split among those under way.
            now = time.perf_counter()
            yield place, found.lasting((now - started) / min(slots, left))
            started = now


def bundles(plan: Sequence[Run], context: Context) -> tuple[list[int], list[list[int]]]:
    """Places of runs that go alone, and of those that can be stacked together."""
    alone: list[int] = []
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for place, run in enumerate(plan):
        key = stack_key(run, context)
        if key is None:
            alone.append(place)
        else:
            groups[key].append(place)
    return alone, list(groups.values())


def stack_key(run: Run, context: Context) -> Hashable:
    """Runs with equal keys can share a stack; None for a run that goes alone, as one whose memory is short."""
    method = run.recipe.method
    if context.thrift.asked:
        return None
    if not isinstance(method, TunedMethod) or method.stack_key() is None:
        return None
    encoder = _packed_backbone(run.recipe.backbone, context)
    if encoder is None or not method.stacks_on(encoder):
        return None
    return (run.recipe.backbone, method.stack_key())


def _packed_backbone(name: str, context: Context) -> Encoder | None:
    """What runs would share; None where it cannot be packed."""
    if context.writes:
        from fewtune.backbones.language.trunk import trunk_of

        trunk = trunk_of(context.language_models[name])
        return trunk if trunk.fits else None
    encoder = context.encoders[name]
    return None if encoder.first_position is None else encoder


def _member(place: int, run: Run, context: Context) -> Member:
    method = run.recipe.method
    assert isinstance(method, TunedMethod)
    return Member(place, Attempt.first(method, context.material(run), watched(run, context)))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory did not suffice, on a GPU or here."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return "can't allocate memory" in str(error) or "out of memory" in str(error)
