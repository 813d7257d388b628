"""The contract of cleaners: look at a text, propose another with a reason, or nothing.

Every cleaner keeps three promises, whatever the text (`tests/data/clean/test_promises.py`):

- what it has cleaned it leaves alone: it goes on until a step changes nothing, and gives up if that never comes;
- a text is never emptied: where nothing would be left to read, nothing is proposed;
- it never raises.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fewtune.plural import counted

MOST_STEPS = 12
"""Each step undoes one layer (`&amp;lt;` is two); a text with more is left alone."""


@dataclass(frozen=True)
class Proposal:
    """Another text, and why."""

    after: str
    reason: str


class Cleaner(ABC):
    """One kind of dirt. A class a file; `registry.py` lists them in the order they are asked."""

    name: ClassVar[str]
    """What `--only` calls it."""
    title: ClassVar[str]
    """What a person reads: "wrongly read encodings"."""
    unasked: ClassVar[bool] = True
    """Whether `fewtune prepare` takes its proposals without being told to: where no meaning can be lost."""

    def fit(self, texts: Sequence[str]) -> None:  # noqa: B027 - most have nothing to learn
        """Learn what can only be seen in many rows; most cleaners have nothing to learn."""

    @abstractmethod
    def step(self, text: str) -> tuple[str, list[str]]:
        """One layer less, and what was done in a few words each; the text itself where there is nothing to do."""

    def propose(self, text: str) -> Proposal | None:
        """The text with every layer gone, or None."""
        after, reasons = text, dict[str, None]()
        for _ in range(MOST_STEPS):
            cleaner, done = self.step(after)
            if cleaner == after:
                break
            after = cleaner
            reasons |= dict.fromkeys(done)
        else:
            return None
        if after == text or not is_readable(after):
            return None
        return Proposal(after, "; ".join(reasons))


def is_readable(text: str) -> bool:
    """Whether anything can be seen: not white space, control or format characters alone."""
    return any(not mark.isspace() and unicodedata.category(mark) not in ("Cc", "Cf", "Cs") for mark in text)


def points(share: float) -> str:
    """A difference of shares: `3 points`, never `3 %`, which could be a share of what is."""
    return counted(round(100 * share), "point")
