"""Time to spend: a deadline that stages ask before they start and steps look at while they run."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from fewtune.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class BudgetSpent(Exception):
    """The time is up."""


def parse(text: str | float | None) -> float | None:
    """Seconds from `90`, `90s`, `15m`, `2h`, `1h30m`; None stays None. Raises UsageError."""
    if text is None or isinstance(text, int | float):
        seconds = text
    else:
        parts = re.fullmatch(r"\s*((?:\d+(?:\.\d+)?\s*[smh]\s*)+|\d+(?:\.\d+)?)\s*", text.lower())
        if parts is None:
            raise UsageError(f"--budget {text!r} is no length of time. Write it like 90s, 15m or 1h30m.")
        found = re.findall(r"(\d+(?:\.\d+)?)\s*([smh]?)", parts[1])
        seconds = sum(float(number) * _UNITS[unit or "s"] for number, unit in found)
    if seconds is not None and not 0 < seconds < float("inf"):
        raise UsageError(f"--budget must be more than nothing, not {text!r}.")
    return seconds


@dataclass
class Budget:
    """Counts from its making (or from `started`)."""

    seconds: float | None
    """None: no limit."""
    started: float = field(default_factory=time.perf_counter)
    reserve: float = 0.0
    """Kept back for what must still be done: the refit, the report."""

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    @property
    def left(self) -> float:
        """Seconds that may still be spent, the reserve taken off."""
        return float("inf") if self.seconds is None else self.seconds - self.reserve - self.spent

    def check(self) -> None:
        """Raises BudgetSpent when nothing is left."""
        if self.left <= 0:
            raise BudgetSpent

    def afford(self, seconds: float) -> None:
        """Raises BudgetSpent when less than `seconds` is left; nothing to do is always affordable."""
        if seconds > 0 and self.left < seconds:
            raise BudgetSpent
