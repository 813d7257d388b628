"""One run in a process of its own: on one thread, and whatever it raises carried back as words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from fewtune.errors import FewtuneError
from fewtune.tune.run import Context, Outcome, Run, Tick, carry_out


@dataclass(frozen=True)
class Refusal:
    """An error a person can cause, on its way to another process."""

    kind: type[FewtuneError]
    message: str

    @classmethod
    def of(cls, error: FewtuneError) -> Refusal:
        """What `error` says."""
        return cls(type(error), str(error))

    def error(self) -> FewtuneError:
        """The error again; its class's own arguments are not known here, only what it said."""
        error = self.kind.__new__(self.kind)
        Exception.__init__(error, self.message)
        return error


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within it, sums are not shared among threads: shared sums round differently, and a run must not depend on how
    many cores were free beside it.
    """
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):  # NumPy's and SciPy's own thread pools, which torch does not know of
            yield
    finally:
        torch.set_num_threads(threads)


def carry_out_here(run: Run, context: Context, tick: Tick | None) -> Outcome:
    """In this process, as a worker would have done it."""
    with one_thread():
        return carry_out(run, context, tick=tick)


def answer(run: Run, context: Context, tick: Tick | None = None) -> Outcome | Refusal:
    """The outcome, or why there is none."""
    try:
        return carry_out(run, context, tick=tick)
    except FewtuneError as error:
        return Refusal.of(error)


__all__ = ["Refusal", "answer", "carry_out_here", "one_thread"]
