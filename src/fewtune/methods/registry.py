"""Every method by name. A new one is a file and a line here."""

from __future__ import annotations

from importlib import import_module

from fewtune.errors import UsageError
from fewtune.methods.base import Method

_WHERE = {
    "majority": "majority:Majority",
    "zero_shot": "zero_shot:ZeroShot",
    "probe": "probe:Probe",
    "self_training": "self_training:SelfTraining",
    "contrastive": "contrastive:Contrastive",
    "lora": "lora:LoRA",
    "top_layers": "top_layers:TopLayers",
    "full": "full:Full",
}

NAMES = tuple(_WHERE)
"""All method names, in climbing order."""


def method_class(name: str) -> type[Method]:
    """The class of the method called `name`. Raises UsageError for a name nobody has."""
    if name not in _WHERE:
        raise UsageError(f"There is no method called {name!r}. Known: {', '.join(NAMES)}.")
    module, cls = _WHERE[name].split(":")
    found: type[Method] = getattr(import_module(f"fewtune.methods.{module}"), cls)
    return found
