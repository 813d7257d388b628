"""Full tuning: every layer and the head move; word embeddings stay, since few of their rows are ever seen."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fewtune.backbones.body import Body
from fewtune.backbones.stacked import stackable
from fewtune.methods.cross_entropy import CrossEntropyMethod

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder


@dataclass(frozen=True)
class Full(CrossEntropyMethod):
    """Cross-entropy tuning of every layer and the head."""

    name: ClassVar[str] = "full"
    title: ClassVar[str] = "Full tuning"
    rung: ClassVar[int] = 8

    rate: float = 5e-5

    def stack_key(self) -> Hashable:
        """The same layers move."""
        return (self.name,)

    def stacks_on(self, encoder: Encoder) -> bool:
        """Where the live layers hold no weights but those of known kinds."""
        return stackable(encoder.model)

    def body(self, encoder: Encoder, seeds: Sequence[int], largest: int | None = None) -> Body:
        """The whole body."""
        return Body(encoder, depth=0, seeds=seeds)
