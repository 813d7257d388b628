"""Top layers only: the highest layers move; those below are frozen, and packed rows read them from a cache.

Of rates from 2e-4 to 6.3e-3, half a decade apart, the last had the least loss on the starter, and the default nearly as
little (3.80, 2.83, 2.31 and 2.22 nats a token; 200 rows of data-to-text, six epochs;
`benchmarks/generation/methods.py`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fewtune.backbones.stacked import stackable
from fewtune.errors import UsageError
from fewtune.methods.generation.moving import Moving, PackedMoving, opened, opened_trunk
from fewtune.methods.generation.tuned import NextTokenMethod

if TYPE_CHECKING:
    from fewtune.backbones.body import Body
    from fewtune.backbones.encoder import Encoder
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.backbones.language.trunk import Trunk


@dataclass(frozen=True)
class TopLayersWriter(NextTokenMethod):
    """Next-token tuning of the highest `layers` layers."""

    name: ClassVar[str] = "top_layers"
    title: ClassVar[str] = "Top layers tuned"
    rung: ClassVar[int] = 4

    width_power: ClassVar[float] = 1.0

    rate: float = 2e-3
    layers: int = 2
    """Of each stack, where a model has an encoder and a decoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neftune:
            raise UsageError("top_layers reads the layers below from a cache: noise on embeddings never reaches it.")
        if self.layers < 1:
            raise UsageError(f"top_layers tunes 1 layer or more, not {self.layers}.")

    def shared(self) -> Hashable:
        """The same layers move."""
        return (self.name, self.layers)

    def stacks_on(self, encoder: Encoder) -> bool:
        """Where the layers hold no weights but those of known kinds."""
        return stackable(encoder.model)

    def packed(self, trunk: Trunk, seeds: Sequence[int], largest: int) -> Body:
        """A trunk with its highest layers unfrozen."""
        return opened_trunk(trunk, self.layers, seeds)

    def in_slot(self, language_model: LanguageModel, body: Body, slot: int, seed: int) -> PackedMoving:
        """The model's own weights."""
        body.reset(slot)
        return PackedMoving(language_model, body, seed, slot)

    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """The highest layers."""
        return opened(language_model, self.layers, seed)
