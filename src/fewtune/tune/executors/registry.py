"""Every executor by name. A new one is a file and a line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fewtune.errors import UsageError

if TYPE_CHECKING:
    from fewtune.tune.executors.base import Executor

AUTO = "auto"
_WHERE = {
    "serial": "serial:SerialExecutor",
    "forked": "forked:ForkedExecutor",
    "stacked": "stacked:StackedExecutor",
    "ray": "ray:RayExecutor",
}

NAMES = (AUTO, *_WHERE)
"""What `--executor` takes."""


def check_executor(name: str, ray_address: str | None = None) -> None:
    """Raises UsageError for a name nobody has, and for an address that the executor would not read."""
    if name not in NAMES:
        raise UsageError(f"There is no executor called {name!r}. Known: {', '.join(NAMES)}.")
    if ray_address is not None and name != "ray":
        raise UsageError("--ray-address is an address of Ray's: give it with --executor ray.")


def executor(name: str = AUTO, *, ray_address: str | None = None) -> Executor:
    """The executor called `name`, which changes how long runs take and never what they give.

    Raises
    ------
    UsageError : a name nobody has, or an address nobody reads.
    MissingExtra : it needs a library that is not installed.
    """
    check_executor(name, ray_address)
    if name == AUTO:
        return default_executor()
    module, cls = _WHERE[name].split(":")
    options: dict[str, Any] = {"address": ray_address} if name == "ray" else {}
    found: Executor = getattr(import_module(f"fewtune.tune.executors.{module}"), cls)(**options)
    return found


def default_executor() -> Executor:
    """What `fewtune bench` found fastest here; unmeasured, stacks on a GPU, workers side by side on other machines."""
    from fewtune.backbones.precision import device
    from fewtune.tune.executors.forked import ForkedExecutor, can_fork
    from fewtune.tune.executors.measured import kept
    from fewtune.tune.executors.serial import SerialExecutor
    from fewtune.tune.executors.stacked import StackedExecutor

    choice = kept()
    if choice is not None and choice.slots > 1:
        return StackedExecutor(choice.slots)
    if choice is not None:
        return ForkedExecutor(choice.processes) if choice.processes > 1 and can_fork() else SerialExecutor()
    if device().type == "cuda":
        return StackedExecutor()
    return ForkedExecutor() if can_fork() else SerialExecutor()


__all__ = ["AUTO", "NAMES", "check_executor", "default_executor", "executor"]
