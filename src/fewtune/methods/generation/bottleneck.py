"""Bottleneck adapters: a small network behind every layer is learned (Houlsby and others 2019).

The papers' rates are 1e-4 to 3e-3 (Houlsby) and 1e-4 (Pfeiffer), for BERT; of 3e-4, 1e-3 and
3e-3 the last was best on the starter (74 notes, six epochs). The layers stay as they are, and the saved
model needs fewtune to open: neither PEFT nor transformers knows such adapters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from fewtune.errors import UsageError
from fewtune.methods.generation.moving import Moving, WholeMoving
from fewtune.methods.generation.tuned import NextTokenMethod

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class BottleneckWriter(NextTokenMethod):
    """Next-token tuning of adapters behind the layers."""

    name: ClassVar[str] = "bottleneck"
    title: ClassVar[str] = "Bottleneck adapters"
    rung: ClassVar[int] = 3

    rate: float = 3e-3
    weight_decay: float = 0.0
    width: int = 32
    """Of the bottleneck."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise UsageError(f"bottleneck: a width of 1 or more, not {self.width}.")

    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """A frozen model with an adapter behind every layer."""
        return BottleneckMoving(language_model, self.width, seed)


class BottleneckMoving(WholeMoving):
    """A whole model with adapters, padded."""

    def __init__(self, language_model: LanguageModel, width: int, seed: int) -> None:
        from fewtune.backbones.language.bottleneck import attach
        from fewtune.backbones.language.whole import Whole

        super().__init__(language_model, Whole(language_model))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.adapters = attach(self.whole.model, width)

    def merged(self) -> Any:
        """The model with its adapters: they fold into no weight."""
        return self.whole.model

    def save(self, folder: Path) -> None:
        """`bottleneck.safetensors`; the model beside it is the untouched one."""
        from fewtune.backbones.language.bottleneck import save_bottlenecks

        save_bottlenecks(self.adapters, folder)
