"""Work that does not fit memory is done in halves: the same result, in more steps.

The size that fitted is remembered, so that the next batch does not fail first, and the person is told once.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")
Say = Callable[[str], None]
_log = logging.getLogger(__name__)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or here."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in said or "out of memory" in said)


class Portions:
    """Batches as large as memory lets them be.

    Parameters
    ----------
    say : told once, in a sentence, when batches are made smaller; None: a warning in the log.
    most : rows at a time from the beginning; None: all of them, as long as they fit.
    last_resort : called when a single row does not fit; True where it made room, and what was tried is tried again.
    shrinks : False: what does not fit is an error. So where other processes work in step with this one.
    """

    def __init__(
        self,
        say: Say | None = None,
        *,
        most: int | None = None,
        last_resort: Callable[[], bool] | None = None,
        shrinks: bool = True,
    ) -> None:
        self.most = most
        """Rows at a time; None while all have fitted."""
        self._say, self._said = say or _log.warning, False
        self._last_resort, self._shrinks = last_resort, shrinks

    def map(self, batch: Sequence[T], work: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
        """What `work` gives for each row of the batch, in as many parts as memory asks for.

        Raises
        ------
        MemoryError, torch.OutOfMemoryError, RuntimeError : a single row does not fit.
        """
        found: list[R] = []
        while len(found) < len(batch):
            part = batch[len(found) : len(found) + (self.most or len(batch))]
            try:
                found += work(part)
            except Exception as error:
                self._shrink(len(part), error)
        return found

    def accumulate(
        self, batch: Sequence[T], backward: Callable[[Sequence[T]], float], *, restart: Callable[[], None]
    ) -> float:
        """A gradient step's batch in micro-batches: gradients add up to those of the whole.

        Parameters
        ----------
        backward : loss of the rows given, as their share of the whole batch's loss, its gradient added.
        restart : forgets the gradients added so far (`zero_grad`): called when memory ran out half-way.

        Returns
        -------
        float
            The loss of the whole batch.
        """
        while True:
            try:
                return sum(backward(part) for part in self.parts(batch))
            except Exception as error:
                self._shrink(min(len(batch), self.most or len(batch)), error, "but for what dropout draws")
                restart()

    def parts(self, batch: Sequence[T]) -> Iterator[Sequence[T]]:
        """The batch in parts of what fitted last."""
        size = self.most or max(1, len(batch))
        for start in range(0, len(batch), size):
            yield batch[start : start + size]

    def _shrink(self, rows: int, error: Exception, but: str = "") -> None:
        if not out_of_memory(error) or not self._shrinks:
            raise error
        # The traceback holds the tensors of the step that failed.
        trace, error.__traceback__ = error.__traceback__, None
        if rows > 1:
            self.most = rows // 2
        elif self._last_resort is None or not self._last_resort():
            raise error.with_traceback(trace)
        del trace
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not self._said:
            same = f"The result is the same, {but}." if but else "The result is the same."
            self._say(f"Memory ran out: rows are worked on fewer at a time from here. {same}")
            self._said = True
