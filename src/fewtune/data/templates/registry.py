"""Every layout by name. A new one is a file and a line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from fewtune.errors import UsageError

if TYPE_CHECKING:
    from fewtune.data.templates.base import Layout

_WHERE = {
    "plain": "plain:Plain",
    "instruction": "instruction:Instruction",
    "alpaca": "alpaca:Alpaca",
    "chatml": "chatml:ChatML",
    "chat": "chat:Chat",
}
NAMES = tuple(_WHERE)
"""All layout names."""


def layout_class(name: str) -> type[Layout]:
    """The layout called `name`. Raises UsageError for a name nobody has."""
    if name not in _WHERE:
        raise UsageError(f"There is no layout called {name!r}. Known: {', '.join(NAMES)}.")
    module, cls = _WHERE[name].split(":")
    found: type[Layout] = getattr(import_module(f"fewtune.data.templates.{module}"), cls)
    return found
