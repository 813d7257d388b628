"""What LoRA and its kin share: the settings of a low-rank update, and which layers get one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fewtune.backbones.layers import linear_names
from fewtune.errors import UsageError
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


def adaptable(language_model: LanguageModel, layers: int | None, targets: tuple[str, ...]) -> list[str]:
    """Full names of the linear layers in the highest layers of a whole model."""
    from fewtune.backbones.language.whole import top_layers

    model = language_model.model
    inside = [model.get_submodule(name) for name in top_layers(model, layers)]
    return linear_names(model, inside, targets, of=language_model.name)
