"""LoRA: low-rank updates to every linear layer of a model that writes (Hu and others 2021).

All linear layers, attention and feed-forward alike: with attention alone it falls behind full tuning at any rank
("LoRA Without Regret", Schulman and others 2025), which also gives how the rate falls with the width of a Llama. Of
1e-3, 3.2e-3 and 1e-2 the second was best on the starter (200 rows of data-to-text, six epochs: 3.08, 2.51 and 2.85 nats
a token; `benchmarks/generation/methods.py`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from fewtune.backbones.stacked import StackedLoRA
from fewtune.errors import UsageError
from fewtune.methods.generation.low_rank import LowRankMethod, adaptable
from fewtune.methods.generation.moving import Moving, PackedMoving, WholeMoving

if TYPE_CHECKING:
    from fewtune.backbones.body import Body
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.backbones.language.trunk import Trunk


@dataclass(frozen=True)
class LoRAWriter(LowRankMethod):
    """Next-token tuning of low-rank adapters."""

    name: ClassVar[str] = "lora"
    title: ClassVar[str] = "LoRA"
    rung: ClassVar[int] = 3

    layers: int | None = None
    """The highest so many layers; all when not given."""
    targets: tuple[str, ...] = ()
    """Last parts of the names of the linear layers to adapt, such as `q_proj`; all of them when empty."""
    rslora: bool = False
    """Scale by alpha / √rank in place of alpha / rank (Kalajdzievski 2023): large ranks then learn as fast."""
    b_ratio: float = 1.0
    """Rate of B over that of A; 16 is LoRA+ (Hayou and others 2024)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.b_ratio <= 0:
            raise UsageError("lora: the ratio of rates is more than 0.")
        if self.neftune and self.layers is not None:
            raise UsageError("lora on some layers reads those below from a cache: embedding noise never reaches it.")

    @property
    def extent(self) -> int:
        """The rank."""
        return self.rank

    def shared(self) -> Hashable:
        """Ranks may differ; which layers are adapted may not."""
        return (self.name, self.layers, self.targets)

    @property
    def scaling(self) -> float:
        """What the update is multiplied with."""
        return float(self.alpha / (self.rank**0.5 if self.rslora else self.rank))

    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """A frozen model with an adapter in every linear layer."""
        from fewtune.backbones.language.trunk import trunk_of
        from fewtune.backbones.language.whole import Whole

        trunk = trunk_of(language_model)
        if not trunk.fits:
            return WholeAdapted(language_model, Whole(language_model), self, seed)
        return self.alone(trunk, seed)

    def packed(self, trunk: Trunk, seeds: Sequence[int], largest: int) -> Body:
        """A frozen trunk with an adapter for each seed."""
        from fewtune.backbones.layers import layer_count
        from fewtune.methods.lora import LoRABody

        depth = 0 if self.layers is None else max(0, layer_count(trunk.model) - self.layers)
        return LoRABody(trunk, depth=depth, seeds=seeds, rank=largest, targets=self.targets)

    def in_slot(self, language_model: LanguageModel, body: Body, slot: int, seed: int) -> PackedMoving:
        """An adapter as it is drawn."""
        return PackedAdapted(language_model, body, self, seed, slot)


class _Adapted(Moving):
    """What both kinds of adapted model share."""

    method: LoRAWriter
    adapters: dict[str, StackedLoRA]
    """By the names of the layers in the whole model."""

    def _draw(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        drawn = {"rank": self.method.rank, "scaling": self.method.scaling, "dropout": self.method.lora_dropout}
        for adapter in self.adapters.values():
            adapter.enter(self.slot, **drawn, generator=generator)  # type: ignore[arg-type]

    def groups(self, rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """A at the rate, B at its own."""
        parts = {"A": rate, "B": rate * self.method.b_ratio}
        return [
            {
                "params": [getattr(adapter, f"lora_{part}") for adapter in self.adapters.values()],
                "lr": own_rate,
                "weight_decay": weight_decay,
            }
            for part, own_rate in parts.items()
        ]

    def _factors(self, adapter: StackedLoRA) -> tuple[torch.Tensor, torch.Tensor]:
        """[R, I] and [O, R] of the run, whose rank may be below the largest there is room for."""
        rank = self.method.rank
        return adapter.lora_A[self.slot, :rank], adapter.lora_B[self.slot, :, :rank]

    @property
    def size(self) -> int:
        """Of the run."""
        return sum(factor.numel() for adapter in self.adapters.values() for factor in self._factors(adapter))

    @torch.no_grad()
    def merged(self) -> Any:
        """A plain model with the updates added to its weights."""
        from fewtune.backbones.language.whole import with_tensors

        found = {}
        for name, adapter in self.adapters.items():
            down_RI, up_OR = self._factors(adapter)
            update = self.method.scaling * (up_OR @ down_RI)
            layer: Any = self.language_model.model.get_submodule(name)
            update = update.T if type(layer).__name__ == "Conv1D" else update
            found[f"{name}.weight"] = (layer.weight.float() + update).to(layer.weight.dtype)
        return with_tensors(self.language_model.model, found)

    @torch.no_grad()
    def save(self, folder: Path) -> None:
        """`adapter/`, written by PEFT."""
        from peft import LoraConfig, get_peft_model

        from fewtune.backbones.layers import sharing_copy
        from fewtune.backbones.quiet import quiet

        method = self.method
        config = LoraConfig(
            r=method.rank,
            lora_alpha=method.alpha,
            lora_dropout=method.lora_dropout,
            use_rslora=method.rslora,
            target_modules=list(self.adapters),
            task_type="SEQ_2_SEQ_LM" if self.language_model.kind == "seq2seq" else "CAUSAL_LM",
        )
        with quiet():
            whole: Any = get_peft_model(sharing_copy(self.language_model.model), config)
            for name, adapter in self.adapters.items():
                theirs = whole.base_model.model.get_submodule(name)
                for part, factor in zip("AB", self._factors(adapter), strict=True):
                    getattr(theirs, f"lora_{part}")["default"].weight.copy_(factor)
            whole.save_pretrained(folder / "adapter", safe_serialization=True)


class PackedAdapted(_Adapted, PackedMoving):
    """A causal model's trunk with adapters."""

    def __init__(self, language_model: LanguageModel, body: Any, method: LoRAWriter, seed: int, slot: int = 0) -> None:
        super().__init__(language_model, body, seed, slot)
        self.method = method
        self.adapters = {self.prefix + name: adapter for name, adapter in body.adapters.items()}
        self._draw(seed)


class _Lone(StackedLoRA):
    """An adapter of one run, whose frozen weight is looked at from outside, as T5 does."""

    @property
    def weight(self) -> torch.Tensor:
        """The frozen layer's."""
        found: torch.Tensor = self.base.weight  # type: ignore[assignment]
        return found


class WholeAdapted(_Adapted, WholeMoving):
    """A whole model with adapters, padded."""

    def __init__(self, language_model: LanguageModel, whole: Any, method: LoRAWriter, seed: int) -> None:
        super().__init__(language_model, whole)
        self.method, self.adapters = method, {}
        for name in adaptable(language_model, method.layers, method.targets):
            parent, _, last = name.rpartition(".")
            owner = whole.model.get_submodule(parent)
            self.adapters[name] = _Lone(getattr(owner, last), slots=1, rank=method.rank)
            setattr(owner, last, self.adapters[name])
        self._draw(seed)
