"""How a study tells whoever is watching what it is doing; the command line draws it, the library stays silent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class Progress:
    """Silent: the null object. Subclasses draw."""

    def start(self, title: str, total: int) -> None:
        """A stage of `total` runs begins."""

    def advance(self) -> None:
        """One run of the stage is finished."""

    def step(self) -> None:
        """One training step is finished."""

    def finish(self, sentence: str = "") -> None:
        """The stage is over; `sentence` is its result."""

    def say(self, sentence: str) -> None:
        """Something worth a line."""

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """What is done inside is a stage of its own; one that raises stays unfinished."""
        self.start(title, 1)
        yield
        self.advance()
        self.finish()

    def through(self, title: str, each: Sequence[T]) -> Iterator[T]:
        """A stage that takes what it is about one by one."""
        self.start(title, len(each))
        for one in each:
            yield one
            self.advance()
        self.finish()

    def several(self, count: int) -> None:
        """So many runs of the stage are finished."""
        for _ in range(count):
            self.advance()
