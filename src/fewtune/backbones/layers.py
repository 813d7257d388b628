"""Where a model keeps its transformer layers and their linear parts, and copies of a model that share its tensors."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from fewtune.backbones.quiet import quiet
from fewtune.errors import BackboneError


def layer_list(model: nn.Module) -> nn.ModuleList | None:
    """The stack of transformer layers; None where an architecture shares one layer (ALBERT)."""
    count = int(getattr(model.config, "num_hidden_layers", 0))
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    return None


def layer_count(model: nn.Module) -> int:
    """How many layers can be frozen one by one; 0 where the architecture shares one."""
    layers = layer_list(model)
    return 0 if layers is None else len(layers)


def sharing_copy(model: nn.Module, shared: Mapping[int, Any] | None = None) -> Any:
    """A deep copy of the module tree that shares tensors instead of copying them.

    Parameters
    ----------
    shared : by the `id` of a parameter, the tensor that stands for it in the copy; the others are copied. Every
        parameter stands for itself when not given.
    """
    if shared is None:
        shared = {id(parameter): parameter for parameter in model.parameters()}
    with quiet():  # copying touches attributes that transformers has deprecated
        return copy.deepcopy(model, dict(shared))


def linear_names(model: nn.Module, layers: Iterable[nn.Module], targets: Sequence[str], of: str) -> list[str]:
    """Full names of the linear modules inside some layers of a model; of those named in `targets`, when there are any.

    Parameters
    ----------
    of : the backbone's name, for the message.

    Raises
    ------
    BackboneError
        Where there is none.
    """
    inside = {id(part) for layer in layers for part in layer.modules()}
    found = [
        name
        for name, part in model.named_modules()
        if (isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D")  # GPT-2's linear layers
        and id(part) in inside
        and "pooler" not in name
        and (not targets or name.rpartition(".")[2] in targets)
    ]
    if not found:
        asked = f" named {' or '.join(targets)}" if targets else ""
        raise BackboneError(f"{of} has no linear layer{asked} that LoRA could adapt.")
    return found
