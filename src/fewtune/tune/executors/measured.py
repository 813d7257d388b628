"""What `fewtune bench` found fastest on this machine, kept for whoever carries out plans.

It changes how long runs take. Side by side or one after another, what they give is the same to the bit; a stack of
adapters of several ranks rounds in another order, so on a CPU one must be clearly faster to be taken.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TypeGuard

from fewtune.backbones.precision import cache_folder, detect, device, machine
from fewtune.tune.executors.forked import usable_cores

CLEARLY = 1.1
"""A stack on a CPU must be this many times as fast as the best way without one."""


class Timed(Protocol):
    """A way to carry out runs, and how fast it was."""

    @property
    def processes(self) -> int: ...  # noqa: D102
    @property
    def slots(self) -> int: ...  # noqa: D102
    @property
    def tokens_per_second(self) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class Choice:
    """How plans are carried out here."""

    processes: int
    slots: int
    """K, runs trained in one step; 1 without stacks."""


def choose(ways: Sequence[Timed]) -> Choice:
    """The fastest of what was measured."""
    fastest = max(ways, key=lambda way: way.tokens_per_second)
    plain = max((way for way in ways if way.slots == 1), key=lambda way: way.tokens_per_second)
    margin = 1.0 if device().type == "cuda" else CLEARLY
    taken = fastest if fastest.tokens_per_second > margin * plain.tokens_per_second else plain
    return Choice(taken.processes, taken.slots)


def keep(choice: Choice) -> bool:
    """Write the choice down for this machine; False where it cannot be written."""
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        _file().write_text(json.dumps({"machine": _here(), **asdict(choice)}), encoding="utf-8")
        return True
    return False


def forget() -> None:
    """Go back to what is chosen without a measurement."""
    with contextlib.suppress(OSError):
        _file().unlink(missing_ok=True)


def kept() -> Choice | None:
    """What was kept for this machine as it is now; None where nothing was, or where it reads as nothing sound."""
    try:
        plain = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(plain, dict) or plain.get("machine") != _here():
        return None
    processes, slots = plain.get("processes"), plain.get("slots")
    return Choice(processes, slots) if _sound(processes) and _sound(slots) else None


def _sound(count: object) -> TypeGuard[int]:
    return isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= 1024


def _file() -> Path:
    return cache_folder() / "executor.json"


def _here() -> str:
    return f"{machine()}|{device()}|{detect()}|{usable_cores()}"
