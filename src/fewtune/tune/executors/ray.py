"""Runs on the workers of a Ray cluster: this machine's cores, or several machines.

A worker takes a group of runs at a time and sends each outcome as it is finished. It opens the backbone once and keeps
it from plan to plan. What the frozen part says of the texts it reads from its machine's prefix cache, which this
process fills where it is the same machine, or computes itself, to the same bits. A worker that dies (killed, out of
memory, its machine lost) costs the runs it had not finished: each is done again alone by another worker, then by this
process itself, as `forked.py` does.

Every worker computes on one thread, in the format this process computes in, so an outcome has the same bits on
machines of one kind.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fewtune.errors import FewtuneError
from fewtune.methods.base import TunedMethod
from fewtune.tune.executors.base import Executor
from fewtune.tune.executors.forked import usable_cores
from fewtune.tune.executors.one_run import Refusal, carry_out_here
from fewtune.tune.executors.ray_cluster import Cluster, ray
from fewtune.tune.executors.ray_worker import Parcel, Worker
from fewtune.tune.run import Context, Outcome, Run, Tick

POLL_SECONDS = 0.1
"""How often this process's `tick` is called while workers are at it."""
MOST_DEATHS = 1
"""Workers a run may cost before this process does it itself."""
MOST_STILLBORN = 3
"""Workers that may die before they stand ready, one after another, before no more are started."""
PATIENCE_SECONDS = 120.0
"""A cluster whose cores are all taken gives no worker: after so long without one this process does run after run
itself, until it hears of one."""
LARGEST_GROUP = 64


@dataclass(eq=False)
class _Hand:
    """A worker as seen from here."""

    actor: Any
    opening: Any = None
    """What it answers when it stands ready; None when it does."""
    stream: Any = None
    """Outcomes of the group it is at; None when idle."""
    places: list[int] = field(default_factory=list)
    """Runs of the group not finished yet."""
    stopping: bool = False
    """Whether the group is nobody's any more: it ends at its next step, and what it still says is passed over."""


@dataclass
class _Plan:
    runs: Sequence[Run]
    context: Context
    waiting: deque[list[int]]
    deaths: dict[int, int] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    stillborn: int = 0
    heard: float = field(default_factory=time.monotonic)
    """When a worker last said something."""


class RayExecutor(Executor):
    """Workers on a Ray cluster; a plan of one run is carried out here.

    Parameters
    ----------
    address : `HOST:PORT` of a cluster this machine belongs to, or `auto`; without one `RAY_ADDRESS` is read, and
        without that a cluster of this machine's cores is started, and stopped by `close`.
    workers : processes at a time; a core each, or a share of a GPU each, until all are taken when not given.
    gpus : GPUs a worker asks for, where this process computes on one; 0.5 puts two workers on each.
    within : the executor inside a worker, by name; by default `stacked` on GPUs where there is one, else `serial`.
    group : runs that a worker is given at a time, which share a backbone and a kind of method; by default one where
        they are carried out one after another, and each worker's share of the plan where they are stacked.

    Raises
    ------
    MissingExtra : Ray is not installed.
    UsageError : no cluster can be joined at the address.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        gpus: float = 1.0,
        within: str | None = None,
        group: int | None = None,
    ) -> None:
        self.ray = ray(address)
        self.address, self.workers, self.gpus, self.within, self.group = address, workers, gpus, within, group
        self._cluster: Cluster | None = None
        self._hands: list[_Hand] = []
        self._opened: Context | None = None
        self._parcel: Any = None

    def execute(
        self, plan: Sequence[Run], context: Context, *, tick: Tick | None = None
    ) -> Iterator[tuple[int, Outcome]]:
        """Hand out groups to workers as they become idle; outcomes come in the order they are finished."""
        if len(plan) < 2:
            yield from ((place, carry_out_here(run, context, tick)) for place, run in enumerate(plan))
            return
        for run in {run.recipe: run for run in plan}.values():
            context.warm(run.recipe)
        self._join()
        count = self._count(len(plan))
        share = 1 if self._within() == "serial" else min(LARGEST_GROUP, -(-len(plan) // count))
        groups = grouped(plan, self.group or share)
        state = _Plan(plan, context, deque(groups), left=set(range(len(plan))))
        self._pack(context)
        try:
            self._hire(min(count, len(groups)))
            yield from self._serve(state, tick)
        finally:
            for hand in self._hands:
                self._stop(hand)

    def close(self) -> None:
        """End the workers, and the cluster where it was started for them."""
        for hand in list(self._hands):
            self._dismiss(hand)
        self._opened, self._parcel = None, None
        if self._cluster is not None:
            self._cluster.leave()
            self._cluster = None

    def _join(self) -> None:
        if self._cluster is None:
            self._cluster = Cluster(self.address, cores=self.workers or usable_cores())
            # Also where nobody calls `close`: on being forgotten, and at the end of the program.
            weakref.finalize(self, self._cluster.leave)

    def _count(self, runs: int) -> int:
        assert self._cluster is not None
        resources = self._cluster.resources()
        there = resources.get("GPU", 0.0) / self.gpus if _on_gpu() else resources.get("CPU", 0.0)
        return max(1, min(runs, int(there), self.workers or runs))

    def _within(self) -> str:
        from fewtune.tune.executors.registry import NAMES

        return self.within or ("stacked" if _on_gpu() and "stacked" in NAMES else "serial")

    def _pack(self, context: Context) -> None:
        """Put the context where every machine can read it once."""
        if self._opened is not context:
            self._opened, self._parcel = context, self.ray.put(Parcel.of(context))
            for hand in self._hands:
                self._open(hand)

    def _hire(self, count: int) -> None:
        while len(self._hands) < count:
            options = {"num_cpus": 1, "num_gpus": self.gpus if _on_gpu() else 0, "scheduling_strategy": "SPREAD"}
            actor = self.ray.remote(Worker).options(**options).remote(self._within())
            hand = _Hand(actor)
            self._open(hand)
            self._hands.append(hand)

    def _open(self, hand: _Hand) -> None:
        hand.opening = hand.actor.open.remote(self._parcel)

    def _stop(self, hand: _Hand) -> None:
        """Have a worker drop what it is at, and stay: opening a backbone anew takes longer than a step."""
        if hand.stream is not None and not hand.stopping:
            hand.stopping, hand.places = True, []
            with contextlib.suppress(Exception):  # it may be gone
                self.ray.cancel(hand.stream)

    def _dismiss(self, hand: _Hand) -> None:
        self._hands.remove(hand)
        with contextlib.suppress(Exception):  # it may be gone, and the cluster with it
            self.ray.kill(hand.actor)

    def _serve(self, state: _Plan, tick: Tick | None) -> Iterator[tuple[int, Outcome]]:
        while state.left:
            for hand in self._hands:
                if hand.opening is None and hand.stream is None and state.waiting:
                    self._give(hand, state)
            for hand in self._speaking():
                told = self._listen(hand, state)
                if told is not None:
                    yield told
            if (place := self._own_share(state)) is not None:
                state.left.remove(place)
                yield place, carry_out_here(state.runs[place], state.context, tick)
            if tick is not None:
                tick()

    def _give(self, hand: _Hand, state: _Plan) -> None:
        hand.places = state.waiting.popleft()
        runs = [state.runs[place] for place in hand.places]
        hand.stream = hand.actor.carry_out.options(num_returns="streaming").remote(list(hand.places), runs)

    def _speaking(self) -> list[_Hand]:
        """Workers that have something to say, within a moment."""
        busy = [hand for hand in self._hands if hand.opening is not None or hand.stream is not None]
        if not busy:
            time.sleep(POLL_SECONDS)
            return []
        waited = [hand.opening if hand.opening is not None else hand.stream for hand in busy]
        ready, _ = self.ray.wait(waited, num_returns=len(waited), timeout=0)
        if not ready:
            ready, _ = self.ray.wait(waited, num_returns=1, timeout=POLL_SECONDS)
        return [hand for hand, one in zip(busy, waited, strict=True) if any(one is other for other in ready)]

    def _listen(self, hand: _Hand, state: _Plan) -> tuple[int, Outcome] | None:
        """A finished run, if that is what the worker has to say. Raises what the run raised."""
        state.heard = time.monotonic()
        try:
            told = self.ray.get(hand.opening if hand.opening is not None else next(hand.stream))
        except (StopIteration, self.ray.exceptions.TaskCancelledError):
            assert not hand.places, "a group ended with runs left"
            hand.stream, hand.stopping = None, False
            return None
        except self._deaths() as error:
            self._bury(hand, state, error)
            return None
        if hand.opening is not None:
            hand.opening, state.stillborn = None, 0
            if isinstance(told, Refusal):
                raise told.error()
            return None
        if hand.stopping:
            return None
        place, outcome = told
        if isinstance(outcome, Refusal):
            raise outcome.error()
        hand.places.remove(place)
        state.left.remove(place)
        return place, outcome

    def _deaths(self) -> tuple[type[BaseException], ...]:
        known = self.ray.exceptions
        return (known.RayActorError, known.WorkerCrashedError, known.ObjectLostError, known.OutOfMemoryError)

    def _bury(self, hand: _Hand, state: _Plan, error: BaseException) -> None:
        """Put a new worker in a dead one's place and its unfinished runs back in the queue, each alone."""
        state.stillborn += hand.opening is not None
        for place in reversed(hand.places):
            state.deaths[place] = state.deaths.get(place, 0) + 1
            if state.deaths[place] <= MOST_DEATHS:
                state.waiting.appendleft([place])
        self._dismiss(hand)
        if state.stillborn < MOST_STILLBORN:
            self._hire(len(self._hands) + 1)
        elif not self._hands:
            said = " ".join(str(error).split())
            raise FewtuneError(
                f"No Ray worker could be started ({said[:300]}). "
                "Check that every machine of the cluster has this fewtune and memory to spare."
            ) from error

    def _own_share(self, state: _Plan) -> int | None:
        """A run this process must do itself, taken off the list: it has cost too many workers, or there is none."""
        place = next((place for place in state.left if state.deaths.get(place, 0) > MOST_DEATHS), None)
        impatient = time.monotonic() - state.heard > PATIENCE_SECONDS
        if place is None and impatient and state.waiting and all(hand.stream is None for hand in self._hands):
            group = state.waiting[-1]
            place = group.pop()
            if not group:
                state.waiting.pop()
        return place


def grouped(plan: Sequence[Run], size: int) -> list[list[int]]:
    """Places of at most `size` runs that share a backbone and a kind of method, in the plan's order."""
    groups: dict[Hashable, list[list[int]]] = {}
    for place, run in enumerate(plan):
        method = run.recipe.method
        kind = method.stack_key() if isinstance(method, TunedMethod) else None
        mine = groups.setdefault((run.recipe.backbone, method.name, kind), [])
        if not mine or len(mine[-1]) >= size:
            mine.append([])
        mine[-1].append(place)
    return sorted((group for mine in groups.values() for group in mine), key=min)


def _on_gpu() -> bool:
    from fewtune.backbones.precision import device

    return device().type == "cuda"


__all__ = ["RayExecutor", "grouped"]
