"""LoRA: low-rank updates to the linear layers of the upper part of the body (Hu and others 2021).

All linear layers are adapted, attention and feed-forward alike: adapting the feed-forward matters most at equal size.
The rate is about ten times that of full tuning. The arithmetic is `backbones/stacked.py`'s, which trains many adapters
at once; what is saved is a PEFT folder, written by PEFT.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from fewtune.backbones.body import Body
from fewtune.backbones.dropout import RunDropout
from fewtune.backbones.layers import layer_count, linear_names, sharing_copy
from fewtune.backbones.quiet import quiet
from fewtune.backbones.stacked import StackedLoRA
from fewtune.methods.base import Material
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
    targets: tuple[str, ...] = ()
    """Last parts of the names of the linear layers to adapt, such as `query` and `value`; all of them when empty."""

    def body(self, encoder: Encoder, seeds: Sequence[int], largest: int | None = None) -> Body:
        """A frozen body with a trainable adapter for each seed."""
        return LoRABody(
            encoder, depth=self.frozen_layers(encoder), seeds=seeds, rank=largest or self.rank, targets=self.targets
        )

    def warm(self, encoder: Encoder, texts: Sequence[str]) -> None:
        """What frozen weights alone make of the states below the adapters, too."""
        super().warm(encoder, texts)
        if self.frozen_layers(encoder):
            self.body(encoder, (0,)).learn_looks(texts)

    def enter(self, body: Body, slot: int, material: Material) -> None:
        """Draw the adapter of a run."""
        assert isinstance(body, LoRABody)
        body.enter(slot, self, material.seed)

    @property
    def extent(self) -> int:
        """The rank."""
        return self.rank

    def stack_key(self) -> Hashable:
        """Ranks may differ; which layers are adapted may not."""
        return (self.name, self.layers, self.targets)

    def frozen_layers(self, encoder: Encoder) -> int:
        """All but the highest `layers`; none where an architecture shares its layers."""
        return max(0, layer_count(encoder.model) - self.layers)


class LoRABody(Body):
    """A frozen body whose live linear layers carry an adapter for each run."""

    def __init__(
        self, encoder: Encoder, *, depth: int, seeds: Sequence[int], rank: int, targets: Sequence[str] = ()
    ) -> None:
        super().__init__(encoder, depth=depth, train_layers=False, seeds=seeds)
        self.names = linear_names(self.model, self.live, targets, of=encoder.name)
        self.adapters: dict[str, StackedLoRA] = {}
        dropouts: dict[str, RunDropout] = defaultdict(lambda: RunDropout(0.0, slots=self.slots, adapters=True))
        self.methods: dict[int, LoRA] = {}
        for name in self.names:
            parent_name, _, last = name.rpartition(".")
            parent = self.model.get_submodule(parent_name)
            base = getattr(parent, last)
            self.adapters[name] = StackedLoRA(base, slots=self.slots, rank=rank, dropout=dropouts[parent_name])
            setattr(parent, last, self.adapters[name])
        self.fuse()

    def enter(self, slot: int, method: LoRA, seed: int) -> None:
        """Begin a run in a slot."""
        generator = torch.Generator().manual_seed(seed)
        for adapter in self.adapters.values():
            adapter.enter(
                slot,
                rank=method.rank,
                scaling=method.alpha / method.rank,
                dropout=method.lora_dropout,
                generator=generator,
            )
        self.methods[slot] = method

    def size(self, run: int = 0) -> int:
        """Of a run, whose rank may be below the largest."""
        rank = self.methods[run].rank
        return sum(rank * (a.lora_A.shape[2] + a.lora_B.shape[1]) for a in self.adapters.values())

    def _of(self, tensor: torch.Tensor, run: int) -> torch.Tensor:
        return tensor[run]

    def save(self, folder: Path) -> None:
        """Write the adapter of the first slot as PEFT does."""
        from peft import LoraConfig, get_peft_model

        method = self.methods[0]
        config = LoraConfig(
            r=method.rank,
            lora_alpha=method.alpha,
            lora_dropout=method.lora_dropout,
            target_modules=self.names,
            task_type="FEATURE_EXTRACTION",
        )
        with quiet():
            whole: Any = get_peft_model(sharing_copy(self.encoder.model), config)
            with torch.no_grad():
                for name, adapter in self.adapters.items():
                    theirs = whole.base_model.model.get_submodule(name)
                    theirs.lora_A["default"].weight.copy_(adapter.lora_A[0, : method.rank])
                    theirs.lora_B["default"].weight.copy_(adapter.lora_B[0, :, : method.rank])
            whole.save_pretrained(folder / "adapter", safe_serialization=True)
