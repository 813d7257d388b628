"""Top layers only: the highest layers move, those below are frozen and computed once for every run."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fewtune.backbones.body import Body
from fewtune.backbones.layers import layer_count
from fewtune.backbones.stacked import stackable
from fewtune.methods.cross_entropy import CrossEntropyMethod

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder


@dataclass(frozen=True)
class TopLayers(CrossEntropyMethod):
    """Cross-entropy tuning of the highest `layers` layers and the head."""

    name: ClassVar[str] = "top_layers"
    title: ClassVar[str] = "Top layers tuned"
    rung: ClassVar[int] = 6

    rate: float = 1e-4
    layers: int = 2

    def stack_key(self) -> Hashable:
        """The same layers move."""
        return (self.name, self.layers)

    def stacks_on(self, encoder: Encoder) -> bool:
        """Where the live layers hold no weights but those of known kinds."""
        return stackable(encoder.model)

    def body(self, encoder: Encoder, seeds: Sequence[int], largest: int | None = None) -> Body:
        """The body above the frozen layers; all of it where an architecture shares its layers."""
        return Body(encoder, depth=self.frozen_layers(encoder), seeds=seeds)

    def frozen_layers(self, encoder: Encoder) -> int:
        """All but the highest `layers`; none where an architecture shares its layers."""
        return max(0, layer_count(encoder.model) - self.layers)
