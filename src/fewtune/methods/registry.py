"""Every method by name. A new one is a file and a line here."""

from __future__ import annotations

from importlib import import_module

from fewtune.data.base import Task
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

_WRITING = {
    "zero_shot": "generation.zero_shot:ZeroShotPrompt",
    "few_shot": "generation.few_shot:FewShotPrompt",
    "lora": "generation.lora:LoRAWriter",
    "top_layers": "generation.top_layers:TopLayersWriter",
    "full": "generation.full:FullWriter",
}

NAMES = tuple(_WHERE)
"""All names of methods that tell classes apart, in climbing order."""
WRITING_NAMES = tuple(_WRITING)
"""All names of methods that write, in climbing order."""


def names(task: Task = "classification") -> tuple[str, ...]:
    """The names of all methods for a task, in climbing order."""
    return NAMES if task == "classification" else WRITING_NAMES


def method_class(name: str, task: Task = "classification") -> type[Method]:
    """The class of the method called `name`. Raises UsageError for a name nobody has."""
    where = _WHERE if task == "classification" else _WRITING
    if name not in where:
        raise UsageError(f"There is no method called {name!r}. Known: {', '.join(where)}.")
    module, cls = where[name].split(":")
    found: type[Method] = getattr(import_module(f"fewtune.methods.{module}"), cls)
    return found
