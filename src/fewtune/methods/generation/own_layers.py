"""Tuning of a model's own layers, all or the highest: what full tuning and that of top layers share."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fewtune.backbones.stacked import stackable
from fewtune.methods.generation.moving import Moving, PackedMoving, opened, opened_trunk
from fewtune.methods.generation.tuned import NextTokenMethod

if TYPE_CHECKING:
    from fewtune.backbones.body import Body
    from fewtune.backbones.encoder import Encoder
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.backbones.language.trunk import Trunk


@dataclass(frozen=True)
class OwnLayersMethod(NextTokenMethod):
    """Next-token tuning of layers as they are; subclasses say how many."""

    width_power: ClassVar[float] = 1.0
    """As where sizes are scaled with rates in mind (Yang and others 2022, "Tensor Programs V")."""

    @property
    def highest(self) -> int | None:
        """How many of the highest layers move; None: all."""
        return None

    def shared(self) -> Hashable:
        """The same layers move."""
        return (self.name, self.highest)

    def stacks_on(self, encoder: Encoder) -> bool:
        """Where the layers hold no weights but those of known kinds."""
        return stackable(encoder.model)

    def packed(self, trunk: Trunk, seeds: Sequence[int], largest: int) -> Body:
        """A trunk with its highest layers unfrozen."""
        return opened_trunk(trunk, self.highest, seeds)

    def in_slot(self, language_model: LanguageModel, body: Body, slot: int, seed: int) -> PackedMoving:
        """The model's own weights."""
        body.reset(slot)
        return PackedMoving(language_model, body, seed, slot)

    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """The highest layers."""
        return opened(language_model, self.highest, seed)


__all__ = ["OwnLayersMethod"]
