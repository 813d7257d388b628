"""Runs side by side on a CPU's cores: one single-threaded worker a core, forked from this process.

A small fine-tune cannot keep several cores busy: its products are too small to share out. Side by side, each core has
its own. Forking gives every worker the backbone, the texts and all cached states without a copy; a worker sets itself
to one thread before anything else, as PyTorch's own data loader does, because the parent's thread pool does not
survive a fork.

A worker that dies (out of memory, killed) costs the run it was at, which is done again by another, then by this
process itself.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from fewtune.tune.executors.base import Executor
from fewtune.tune.executors.one_run import Refusal, answer, carry_out_here, one_thread
from fewtune.tune.run import Context, Outcome, Run, Tick

POLL_SECONDS = 0.1
"""How often the parent's `tick` is called while workers are at it."""
MOST_DEATHS = 1
"""Workers a run may cost before this process does it itself."""


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    place: int | None = None
    """The run it is at."""
    rows: bytes = b""
    """The training rows of the run it was given last."""


@dataclass
class _Plan:
    runs: Sequence[Run]
    waiting: deque[int]
    deaths: dict[int, int] = field(default_factory=dict)

    @cached_property
    def rows(self) -> list[bytes]:
        """The training rows of each run, to be compared."""
        return [run.train.tobytes() for run in self.runs]

    def take(self, last: bytes, others: Collection[bytes]) -> int | None:
        """The next run for a worker.

        What runs on the same rows have in common (a first head, a turning of the rows) is made once in a process: so a
        worker stays with the rows it had `last`, and leaves to the `others` what they are at while there is more.
        """
        if not self.waiting:
            return None
        same = (place for place in self.waiting if self.rows[place] == last)
        free = (place for place in self.waiting if self.rows[place] not in others)
        found = next(itertools.chain(same, free, self.waiting))
        self.waiting.remove(found)
        return found


class ForkedExecutor(Executor):
    """`workers` single-threaded processes; a plan of one run, or one worker, is carried out here.

    Parameters
    ----------
    workers : processes at a time; the number of usable cores when not given.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or usable_cores()

    def execute(
        self, plan: Sequence[Run], context: Context, *, tick: Tick | None = None
    ) -> Iterator[tuple[int, Outcome]]:
        """Hand out runs to workers as they become idle; outcomes come in the order they are finished."""
        count = min(self.workers, len(plan))
        if count < 2:
            yield from ((place, carry_out_here(run, context, tick)) for place, run in enumerate(plan))
            return
        for run in {run.recipe: run for run in plan}.values():
            context.warm(run.recipe)
        state = _Plan(plan, deque(range(len(plan))))
        workers: list[_Worker] = []
        try:
            workers += [_start(plan, context) for _ in range(count)]
            yield from self._serve(state, workers, context, tick)
        finally:
            for worker in workers:
                _stop(worker)

    def _serve(
        self, state: _Plan, workers: list[_Worker], context: Context, tick: Tick | None
    ) -> Iterator[tuple[int, Outcome]]:
        for worker in workers:
            _give(worker, state, workers)
        while any(worker.place is not None for worker in workers):
            busy = {worker.pipe: worker for worker in workers if worker.place is not None}
            for pipe in wait(list(busy), timeout=POLL_SECONDS):
                worker = busy[pipe]  # type: ignore[index]
                place = worker.place
                assert place is not None
                outcome = _receive(worker)
                if outcome is None:
                    outcome = _bury(worker, workers, state, context, tick)
                else:
                    _give(worker, state, workers)
                if outcome is not None:
                    yield place, outcome
            if tick is not None:
                tick()


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def can_fork() -> bool:
    """Whether forking a process that holds PyTorch is sound here: Linux without a GPU in use."""
    from fewtune.backbones.precision import device

    return sys.platform.startswith("linux") and device().type == "cpu"


def _start(plan: Sequence[Run], context: Context) -> _Worker:
    forking = multiprocessing.get_context("fork")
    mine, theirs = forking.Pipe()
    process = forking.Process(target=_work, args=(theirs, mine, os.getpid(), plan, context), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, mine)


def _work(pipe: Connection, parents_end: Connection, parent: int, plan: Sequence[Run], context: Context) -> None:
    def stop_if_orphaned() -> None:
        if os.getppid() != parent:  # killed: nobody will hear of this run, and the same command may be at it again
            os._exit(1)

    parents_end.close()
    with one_thread(), contextlib.suppress(EOFError, KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        while (place := pipe.recv()) is not None:
            pipe.send(answer(plan[place], context, stop_if_orphaned))


def _receive(worker: _Worker) -> Outcome | None:
    """The worker's outcome; None when it died. Raises what the run raised."""
    try:
        told = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        return None
    if isinstance(told, Refusal):
        raise told.error()
    assert isinstance(told, Outcome)
    return told


def _give(worker: _Worker, state: _Plan, workers: Sequence[_Worker]) -> None:
    worker.place = state.take(worker.rows, {other.rows for other in workers if other is not worker})
    if worker.place is not None:
        worker.rows = state.rows[worker.place]
        with contextlib.suppress(BrokenPipeError):  # it died idle: its silence is noticed when it is listened to
            worker.pipe.send(worker.place)


def _bury(worker: _Worker, workers: list[_Worker], state: _Plan, context: Context, tick: Tick | None) -> Outcome | None:
    """Put a new worker in a dead one's place and its run back in the queue, or do the run here."""
    place = worker.place
    assert place is not None
    _stop(worker)
    state.deaths[place] = state.deaths.get(place, 0) + 1
    fresh = _start(state.runs, context)
    workers[workers.index(worker)] = fresh
    outcome = None
    if state.deaths[place] > MOST_DEATHS:
        outcome = carry_out_here(state.runs[place], context, tick)
    else:
        state.waiting.appendleft(place)
    _give(fresh, state, workers)
    return outcome


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    if worker.process.is_alive():
        worker.process.terminate()
    worker.process.join(timeout=5)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
