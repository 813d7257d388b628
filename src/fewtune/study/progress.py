"""How a study tells whoever is watching what it is doing; the command line draws it, the library stays silent."""

from __future__ import annotations


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
