"""Full tuning: every layer moves; word embeddings and the head stay, since few of their rows are ever seen."""

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
class FullWriter(NextTokenMethod):
    """Next-token tuning of every layer."""

    name: ClassVar[str] = "full"
    title: ClassVar[str] = "Full tuning"
    rung: ClassVar[int] = 5

    rate: float = 1e-4
    """Ten times less than an adapter's ("LoRA Without Regret", Schulman and others 2025: a ratio of about ten)."""

    def shared(self) -> Hashable:
        """All layers move."""
        return self.name

    def stacks_on(self, encoder: Encoder) -> bool:
        """Where the layers hold no weights but those of known kinds."""
        return stackable(encoder.model)

    def packed(self, trunk: Trunk, seeds: Sequence[int], largest: int) -> Body:
        """A trunk with all layers unfrozen."""
        return opened_trunk(trunk, None, seeds)

    def in_slot(self, language_model: LanguageModel, body: Body, slot: int, seed: int) -> PackedMoving:
        """The model's own weights."""
        body.reset(slot)
        return PackedMoving(language_model, body, seed, slot)

    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """All layers."""
        return opened(language_model, None, seed)
