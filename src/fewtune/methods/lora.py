"""LoRA: low-rank updates to the linear layers of the upper part of the body (Hu and others 2021), built by PEFT.

All linear layers are adapted, attention and feed-forward alike: adapting the feed-forward matters most at equal size.
The rate is about ten times that of full tuning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from fewtune.backbones.body import Body, layer_count, layer_list
from fewtune.backbones.quiet import quiet
from fewtune.errors import BackboneError
from fewtune.methods.cross_entropy import CrossEntropyMethod

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder


@dataclass(frozen=True)
class LoRA(CrossEntropyMethod):
    """Cross-entropy tuning of low-rank adapters on the highest `layers` layers, and of the head."""

    name: ClassVar[str] = "lora"
    title: ClassVar[str] = "LoRA"
    rung: ClassVar[int] = 5

    rate: float = 1e-3
    layers: int = 2
    rank: int = 8
    alpha: int = 16
    lora_dropout: float = 0.05

    def body(self, encoder: Encoder) -> Body:
        """A frozen body with trainable adapters."""
        from peft import LoraConfig, get_peft_model

        body = Body(encoder, depth=self.frozen_layers(encoder), train_layers=False)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.lora_dropout,
            target_modules=linear_names(body),
            task_type="FEATURE_EXTRACTION",
        )
        with quiet():
            body.model = get_peft_model(body.model, config)
        return body

    def frozen_layers(self, encoder: Encoder) -> int:
        """All but the highest `layers`; none where an architecture shares its layers."""
        return max(0, layer_count(encoder) - self.layers)


def linear_names(body: Body) -> list[str]:
    """Full names of the linear modules in the live layers."""
    layers = layer_list(body.model)
    if layers is None:
        inside = {id(module) for module in body.model.modules()}
    else:
        inside = {id(part) for layer in list(layers)[body.depth :] for part in layer.modules()}
    named = body.model.named_modules()
    names = [
        name for name, part in named if isinstance(part, nn.Linear) and id(part) in inside and "pooler" not in name
    ]
    if not names:
        raise BackboneError(f"{body.encoder.name} has no linear layer that LoRA could adapt.")
    return names
