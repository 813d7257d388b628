"""Full tuning: every layer moves; word embeddings and the head stay, since few of their rows are ever seen.

Of rates from 1e-4 to 3.2e-3 the last had the least loss on the starter (3.54, 2.71, 2.28 and 2.20 nats a token, half a
decade apart; 200 rows of data-to-text, six epochs; `benchmarks/generation/methods.py`). The default is the one before
it, which is nearly as good and forgets less. Large models want far smaller ones: the rate falls with the width.
"""

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

    width_power: ClassVar[float] = 1.0
    """As where sizes are scaled with rates in mind (Yang and others 2022, "Tensor Programs V")."""

    rate: float = 1e-3

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
