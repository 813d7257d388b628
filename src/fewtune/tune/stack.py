"""Train many runs in one step: each has its rows, order, rate, noise and end; the frozen products they share.

Runs leave when their course is run and others take their place. A run's result does not depend on who shared its
stack: what it draws at random comes from its own seed, and what it multiplies is its own slice.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from fewtune.methods.base import Fitted, Stack
from fewtune.tune.course import Attempt, Course
from fewtune.tune.loop import diverged
from fewtune.tune.optimiser import StackedAdamW


@dataclass(frozen=True)
class Member:
    """A run that waits for a slot."""

    place: int
    """Where it stands in the caller's plan."""
    attempt: Attempt


def train_stack(
    members: Sequence[Member], *, slots: int, tick: Callable[[], None] | None = None
) -> Iterator[tuple[int, Fitted]]:
    """Yield (place, fitted run) as runs are finished.

    A fitted run is lent: it stands in the stack's memory until the next is asked for.

    Parameters
    ----------
    members : runs whose methods share a `stack_key` and whose backbone can be packed.
    slots : K, how many are trained at a time; 2 or more, as one is `tune.loop.train`'s.
    tick : called after every step.

    Raises
    ------
    TrainingDiverged : a run's loss was NaN or infinite on every attempt.
    MemoryError, torch.OutOfMemoryError : K runs do not fit; none that was yielded is lost.
    """
    assert slots > 1
    first = members[0].attempt
    methods = [member.attempt.method for member in members]
    # Room for the largest of all that wait, in every slot: ranks may differ and any may enter any slot.
    widest = max(methods, key=lambda method: method.extent)
    backbone = first.method.backbone(first.material)
    stack = first.method.stack(backbone, [widest] * slots, len(first.material.classes))
    yield from _Training(stack, deque(members), tick).run()


class _Training:
    """A stack at work."""

    def __init__(self, stack: Stack, waiting: deque[Member], tick: Callable[[], None] | None) -> None:
        self.stack, self.waiting, self.tick = stack, waiting, tick
        self.optimiser = StackedAdamW(stack.stacked_groups())
        self.members: dict[int, Member] = {}
        self.courses: dict[int, Course] = {}

    def run(self) -> Iterator[tuple[int, Fitted]]:
        for slot in range(self.stack.slots):
            self._fill(slot)
        while self.courses:
            for slot in self._step():
                fitted = self._leave(slot)
                if fitted is not None:
                    yield self.members[slot].place, fitted
                    self._fill(slot)
            for course in self.courses.values():  # what left was looked at in evaluation mode
                course.tunable.train(True)
            if self.tick is not None:
                self.tick()

    def _fill(self, slot: int) -> None:
        """The next run that waits takes the slot; without one it stays empty."""
        self.courses.pop(slot, None)
        if self.waiting:
            self._enter(slot, self.waiting.popleft())

    def _enter(self, slot: int, member: Member) -> None:
        attempt = member.attempt
        tunable = self.stack.enter(slot, attempt.method, attempt.material)
        self.optimiser.enter(slot, tunable.parameter_groups())
        tunable.train(True)
        self.members[slot], self.courses[slot] = member, Course(attempt, tunable)

    def _step(self) -> list[int]:
        """One step of every run; the slots whose course is run."""
        going = {slot: course for slot, course in self.courses.items() if course.total}
        batches = {slot: course.batch() for slot, course in going.items()}
        factors = {slot: course.factor for slot, course in going.items()}
        losses = self.stack.losses(batches)
        losses_R = torch.stack(list(losses.values()))
        # The runs share no weight, so the gradient of the sum holds each run's own.
        grads = torch.autograd.grad(losses_R.sum(), self.optimiser.tensors)
        clips = {slot: course.method.clip_norm for slot, course in going.items()}
        self.optimiser.step(grads, factors, clips)
        numbers = dict(zip(losses, losses_R.tolist(), strict=True))
        return [slot for slot, course in going.items() if not course.see(numbers[slot])]

    def _leave(self, slot: int) -> Fitted | None:
        """The finished run of a slot; None when it was started again there."""
        course, member = self.courses[slot], self.members[slot]
        if course.failed and not course.keep_last_good():
            if member.attempt.last:
                raise diverged(course.method)
            self._enter(slot, dataclasses.replace(member, attempt=member.attempt.again()))
            return None
        course.tunable.train(False)
        fitted = course.tunable.finish()
        fitted.log = course.log
        fitted.notes = (*fitted.notes, *course.notes)
        return fitted
