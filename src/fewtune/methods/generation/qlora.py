"""QLoRA: LoRA on a model whose linear layers are held in 4 bits (Dettmers and others 2023), through bitsandbytes.

For models that do not fit otherwise; it is slower than LoRA and no better. What is saved is the adapter and the rounded
model it was trained on, in plain weights: opened again, it costs what it cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from fewtune.errors import BackboneError, MissingExtra, UsageError
from fewtune.methods.generation.low_rank import LowRankMethod, adaptable
from fewtune.methods.generation.moving import Moving
from fewtune.methods.generation.peft_method import PeftMethod, PeftMoving

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class QLoRAWriter(LowRankMethod, PeftMethod):
    """Next-token tuning of low-rank adapters on a model in 4 bits."""

    name: ClassVar[str] = "qlora"
    title: ClassVar[str] = "QLoRA (4 bits)"
    rung: ClassVar[int] = 3

    rate: float = LowRankMethod.rate
    """LoRA's here; the paper's is 2e-4, for models of 7 to 13 billion weights."""

    def prepare(self, model: Any) -> Any:
        """The model with its linear layers in 4 bits. Raises MissingExtra, BackboneError."""
        return in_four_bits(model)

    def config(self, language_model: LanguageModel) -> Any:
        """Of every linear layer but the head."""
        from peft import LoraConfig

        names = adaptable(language_model, None, ())
        return LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.lora_dropout, target_modules=names)

    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """A frozen model in 4 bits with adapters in plain numbers. Raises UsageError for one shared among processes."""
        if language_model.team is not None:
            raise UsageError("qlora holds a model in one process, in 4 bits. With several processes take lora.")
        return QuantisedMoving(language_model, self, seed)


class QuantisedMoving(PeftMoving):
    """What is saved and merged is plain."""

    def merged(self) -> Any:
        """The rounded model, the updates added."""
        from fewtune.backbones.language.whole import with_tensors

        updates = {}
        for name, layer in self._layers():
            update = layer.get_delta_weight("default")
            updates[f"{name}.weight"] = (plain_weight(layer.base_layer).float() + update).to(self._dtype)
        return with_tensors(self.language_model.model, updates)

    def save(self, folder: Path) -> None:
        """The rounded model whole, and `adapter/`."""
        from fewtune.backbones.language.whole import with_tensors

        rounded = {f"{name}.weight": plain_weight(layer.base_layer).to(self._dtype) for name, layer in self._layers()}
        with_tensors(self.language_model.model, rounded).save_pretrained(folder, safe_serialization=True)
        super().save(folder)

    @property
    def _dtype(self) -> torch.dtype:
        return self.language_model.dtype

    def _layers(self) -> list[tuple[str, Any]]:
        """Adapted layers by their names in the plain model."""
        from peft.tuners.lora import LoraLayer

        inner = self.whole.model.get_base_model()
        return [(name, part) for name, part in inner.named_modules() if isinstance(part, LoraLayer)]


def library() -> Any:
    """The package bitsandbytes. Raises MissingExtra."""
    try:
        import bitsandbytes
    except ImportError as error:
        raise MissingExtra("bitsandbytes", "quantise", "QLoRA") from error
    return bitsandbytes


def in_four_bits(model: Any) -> Any:
    """`model`, a private copy, every linear layer but the head rounded to NF4. Raises BackboneError for GPT-2's."""
    bnb = library()
    head = model.get_output_embeddings()
    found = [(n, part) for n, part in model.named_modules() if isinstance(part, nn.Linear) and part is not head]
    if not found:
        kind = model.config.model_type
        raise BackboneError(f"A {kind} model has no linear layers that bitsandbytes could round. Take lora.")
    for name, part in found:
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, _rounded(bnb, part))
    return model


def _rounded(bnb: Any, part: nn.Linear) -> Any:
    bias = part.bias is not None
    made = bnb.nn.Linear4bit(
        part.in_features, part.out_features, bias=bias, compute_dtype=torch.float32, quant_type="nf4"
    )
    made.weight = bnb.nn.Params4bit(part.weight.detach().clone(), requires_grad=False, quant_type="nf4")
    if bias:
        made.bias = nn.Parameter(part.bias.detach().clone(), requires_grad=False)
    # On some CPUs the library would lay the weights out anew when scoring, in a way that is not read back.
    made.support_avx512bf16_for_cpu = False
    return made.to(part.weight.device)


def plain_weight(layer: Any) -> torch.Tensor:
    """What a rounded layer stands for."""
    found: torch.Tensor = library().functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return found
