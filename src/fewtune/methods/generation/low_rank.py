"""What LoRA and its kin share: the settings of a low-rank update, and which layers get one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from fewtune.errors import BackboneError, UsageError
from fewtune.methods.generation.tuned import NextTokenMethod

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class LowRankMethod(NextTokenMethod):
    """Next-token tuning of low-rank updates to linear layers."""

    width_power: ClassVar[float] = 0.78

    rate: float = 3e-3
    weight_decay: float = 0.0
    rank: int = 16
    alpha: int = 32
    lora_dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1 or not 0 <= self.lora_dropout < 1:
            raise UsageError(f"{self.name}: the rank is 1 or more, and the dropout from 0 to below 1.")


def linear_names(language_model: LanguageModel, layers: int | None, targets: tuple[str, ...]) -> list[str]:
    """Full names of the linear layers in the highest layers of a whole model."""
    from fewtune.backbones.language.whole import top_layers

    model = language_model.model
    inside = top_layers(model, layers)
    found = [
        name
        for name, part in model.named_modules()
        if (isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D")
        and any(name.startswith(f"{layer}.") for layer in inside)
        and (not targets or name.rpartition(".")[2] in targets)
    ]
    if not found:
        asked = f" named {' or '.join(targets)}" if targets else ""
        raise BackboneError(f"{language_model.name} has no linear layer{asked} that LoRA could adapt.")
    return found


__all__ = ["LowRankMethod", "linear_names"]
