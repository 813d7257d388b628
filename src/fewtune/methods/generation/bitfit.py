"""BitFit: the biases of the layers move and nothing else (Ben-Zaken, Ravfogel and Goldberg 2022).

The paper's rates are 1e-4 to 9e-4, for BERT. Llama, Qwen 3 and T5 models have no biases, and are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fewtune.errors import BackboneError
from fewtune.methods.generation.moving import Moving, opened
from fewtune.methods.generation.tuned import NextTokenMethod

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class BitFitWriter(NextTokenMethod):
    """Next-token tuning of biases."""

    name: ClassVar[str] = "bitfit"
    title: ClassVar[str] = "BitFit (biases)"
    rung: ClassVar[int] = 3

    rate: float = 3e-3
    weight_decay: float = 0.0
    """None: a bias belongs where it is needed."""

    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """Every bias of every layer. Raises BackboneError where there is none."""
        moving = opened(language_model, None, seed)
        for name, tensor in moving.moving.items():
            tensor.requires_grad_(name.endswith("bias"))
        if not moving.moving:
            raise BackboneError(
                f"{language_model.name}, a {language_model.model.config.model_type} model, has no biases that BitFit "
                "could move. Take ia3 or lora."
            )
        return moving
