"""How a step of training is made to fit memory. It changes how long a run takes, never what it gives.

Two ways, the cheap one first: rows are worked on a few at a time, whose gradients add up to the batch's (each row's
share of the loss is taken of the whole batch's tokens, so that it is no mean of means); and layers are computed again
on the way back (gradient checkpointing).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

from fewtune.backbones.portions import Portions, out_of_memory
from fewtune.errors import OutOfMemory
from fewtune.methods.base import Tunable
from fewtune.tune.memory import Plan, plan_of
from fewtune.tune.thrift import Thrift

_log = logging.getLogger(__name__)
FEWER = "Rows are worked on {} at a time, as memory has no room for {}. The result is the same."
AGAIN = "What layers compute is computed again on the way back, to save memory. The result is the same."
CANNOT = "This method cannot compute layers again on the way back: --gradient-checkpointing changes nothing for it."


@cache
def say_once(sentence: str) -> None:
    """In the log, the first time: the folds of a study run short of the same memory."""
    _log.warning(sentence)


@dataclass
class Saver:
    """Makes the steps of one run fit.

    Parameters
    ----------
    thrift : what a person says about it.
    tunable : the run.
    batch : rows of a step.
    alone : False where other processes work in step: nothing can then be tried twice.
    agree : what all of them take, where each found a plan of its own.
    """

    thrift: Thrift
    tunable: Tunable
    batch: int
    alone: bool = True
    agree: Callable[[Plan | None], Plan | None] = lambda plan: plan
    notes: list[str] = field(default_factory=list)
    portions: Portions = field(init=False)
    again: bool = False
    """Whether layers are computed again on the way back."""

    def __post_init__(self) -> None:
        if self.thrift.checkpointing and not self._compute_again():
            self.notes.append(CANNOT)
        self.portions = Portions(
            self.say,
            most=self.thrift.micro_batch,
            last_resort=None if self.thrift.checkpointing is False else self._make_room,
            shrinks=self.alone,
        )
        self._plan()

    def say(self, sentence: str) -> None:
        """Said once, and kept for the report."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            say_once(sentence)

    def _plan(self) -> None:
        """What the memory of a GPU has room for, before it runs out."""
        plan = self.agree(plan_of(self.tunable, self.batch, again=self.again))
        if plan is None:
            return
        if plan.again and not self.again and self.thrift.checkpointing is None and self._compute_again():
            self.say(AGAIN)
        if self.thrift.micro_batch is None and plan.rows < self.batch:
            self.portions.most = plan.rows
            self.say(FEWER.format(plan.rows, self.batch))

    def _make_room(self) -> bool:
        if self.again or not self._compute_again():
            return False
        self.say(AGAIN)
        return True

    def _compute_again(self) -> bool:
        self.again = self.tunable.compute_again()
        return self.again


@contextlib.contextmanager
def memory_told(*, alone: bool = True) -> Iterator[None]:
    """Within it, memory that runs out for good raises OutOfMemory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise too_little(alone) from error


def too_little(alone: bool) -> OutOfMemory:
    """What to say when a step does not fit."""
    if alone:
        return OutOfMemory(
            "Memory does not suffice for a single row of a step. Give shorter rows, take a smaller backbone or lora, "
            "or share the model among several GPUs with --processes."
        )
    return OutOfMemory(
        "Memory does not suffice for a step. Give --gradient-checkpointing, a smaller --micro-batch, or more processes."
    )


__all__ = ["Saver", "memory_told", "too_little"]
