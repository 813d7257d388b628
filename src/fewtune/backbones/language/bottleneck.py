"""Bottleneck adapters: a small network behind every layer, added to what the layer gives (Houlsby and others 2019).

One a layer, behind its feed-forward part, as Pfeiffer and others (2021) found enough. PEFT has none, so they are saved
plainly: `bottleneck.safetensors`, two matrices and two biases a layer, and their names say which.

Legend: D width of the model, R width of the bottleneck.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from fewtune.backbones.language.whole import top_layers
from fewtune.errors import BackboneDamaged, BackboneError

FILE = "bottleneck.safetensors"
PART = "bottleneck"


class Bottleneck(nn.Module):
    """States + up(gelu(down(states))); `up` starts at zero, so that the first step finds the model as it was."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[…, D] → […, D]."""
        added: torch.Tensor = self.up(nn.functional.gelu(self.down(states.to(self.down.weight.dtype))))
        return states + added.to(states.dtype)

    def behind(self, layer: nn.Module, given: Any, output: Any) -> Any:
        """A forward hook of the layer."""
        if isinstance(output, tuple):
            return (self(output[0]), *output[1:])
        return self(output)


def attach(model: Any, inner: int) -> dict[str, Bottleneck]:
    """Put one behind every layer of `model`, a private copy; by name. Raises BackboneError where it has no layers."""
    places = top_layers(model, None)
    if not places:
        raise BackboneError(f"A {model.config.model_type} model has no layers that adapters could stand behind.")
    width = int(model.get_input_embeddings().weight.shape[1])
    found = {}
    for place in places:
        layer = model.get_submodule(place)
        found[f"{place}.{PART}"] = Bottleneck(width, inner).to(next(layer.parameters()).device)
        layer.add_module(PART, found[f"{place}.{PART}"])
        layer.register_forward_hook(found[f"{place}.{PART}"].behind)
    return found


def save_bottlenecks(adapters: dict[str, Bottleneck], folder: Path) -> None:
    """Write `bottleneck.safetensors`."""
    from safetensors.torch import save_file

    tensors = {
        f"{name}.{part}": tensor.detach().contiguous()
        for name, adapter in adapters.items()
        for part, tensor in adapter.state_dict().items()
    }
    save_file(tensors, str(folder / FILE))


def with_bottlenecks(model: Any, folder: Path) -> Any:
    """The model with the adapters saved in `folder`, where there are any. Raises BackboneDamaged."""
    path = folder / FILE
    if not path.exists():
        return model
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(path))
        inner = next(len(tensor) for name, tensor in tensors.items() if name.endswith("down.weight"))
        adapters = attach(model, inner)
        for name, adapter in adapters.items():
            adapter.load_state_dict({part: tensors.pop(f"{name}.{part}") for part in list(adapter.state_dict())})
        assert not tensors, "adapters for layers that are not there"
    except Exception as error:  # truncated, of another model, of other names
        raise BackboneDamaged(f"{path} does not fit its model ({type(error).__name__}). Fit again.") from error
    return model
