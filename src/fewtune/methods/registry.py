"""Every method by name. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Sequence
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
    "contrastive_pool": "contrastive_pool:ContrastivePool",
    "lora": "lora:LoRA",
    "top_layers": "top_layers:TopLayers",
    "full": "full:Full",
    "label_zero_shot": "labels.zero_shot:LabelZeroShot",
    "label_few_shot": "labels.few_shot:LabelFewShot",
    "label_lora": "labels.lora:LabelLoRA",
}

_ASKED = {
    "prompt_tuning": "prompt_tuning:PromptTuning",
}
"""Judged when they are asked for and not otherwise."""

_WRITING = {
    "zero_shot": "generation.zero_shot:ZeroShotPrompt",
    "few_shot": "generation.few_shot:FewShotPrompt",
    "lora": "generation.lora:LoRAWriter",
    "top_layers": "generation.top_layers:TopLayersWriter",
    "full": "generation.full:FullWriter",
}

_WRITING_ASKED = {
    "ia3": "generation.ia3:IA3Writer",
    "bitfit": "generation.bitfit:BitFitWriter",
    "prompt_tuning": "generation.prompt_tuning:PromptTuningWriter",
    "prefix_tuning": "generation.prefix_tuning:PrefixTuningWriter",
    "p_tuning": "generation.p_tuning:PTuningWriter",
    "bottleneck": "generation.bottleneck:BottleneckWriter",
    "dora": "generation.dora:DoRAWriter",
    "qlora": "generation.qlora:QLoRAWriter",
}
"""Likewise."""

_PREFERENCE = {
    "first_stage": "preference.first_stage:FirstStage",
    "dpo": "preference.dpo:DPO",
    "orpo": "preference.orpo:ORPO",
    "kto": "preference.kto:KTO",
}
"""Of a model that writes already: ways to learn which of two answers is better."""

NAMES = (*_WHERE, *_ASKED)
"""All names of methods that tell classes apart: those on the ladder, in climbing order, then those asked for."""
WRITING_NAMES = (*_WRITING, *_WRITING_ASKED)
"""All names of methods that write: those on the ladder, in climbing order, then those judged only when asked for."""
PREFERENCE_NAMES = tuple(_PREFERENCE)
"""All names of methods that learn from preferences, in climbing order."""


def names(task: Task = "classification", asked: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of the methods on a task's ladder, in climbing order, and of those beside it that are asked for."""
    if task == "preference":
        return PREFERENCE_NAMES
    ladder, beside = (_WHERE, _ASKED) if task == "classification" else (_WRITING, _WRITING_ASKED)
    return (*ladder, *(name for name in beside if name in asked))


def method_class(name: str, task: Task = "classification") -> type[Method]:
    """The class of the method called `name`. Raises UsageError for a name nobody has."""
    where = _WHERE | _ASKED if task == "classification" else _WRITING | _WRITING_ASKED
    where = _PREFERENCE if task == "preference" else where
    if name not in where:
        raise UsageError(f"There is no method called {name!r}. Known: {', '.join(where)}.")
    module, cls = where[name].split(":")
    found: type[Method] = getattr(import_module(f"fewtune.methods.{module}"), cls)
    return found
