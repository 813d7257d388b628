"""Top layers only: the highest layers move; those below are frozen, and packed rows read them from a cache.

Of rates from 2e-4 to 6.3e-3, half a decade apart, the last had the least loss on the starter, and the default nearly as
little (3.80, 2.83, 2.31 and 2.22 nats a token; 200 rows of data-to-text, six epochs;
`benchmarks/generation/methods.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fewtune.errors import UsageError
from fewtune.methods.generation.own_layers import OwnLayersMethod


@dataclass(frozen=True)
class TopLayersWriter(OwnLayersMethod):
    """Next-token tuning of the highest `layers` layers."""

    name: ClassVar[str] = "top_layers"
    title: ClassVar[str] = "Top layers tuned"
    rung: ClassVar[int] = 4

    rate: float = 2e-3
    layers: int = 2
    """Of each stack, where a model has an encoder and a decoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neftune:
            raise UsageError("top_layers reads the layers below from a cache: noise on embeddings never reaches it.")
        if self.layers < 1:
            raise UsageError(f"top_layers tunes 1 layer or more, not {self.layers}.")

    @property
    def highest(self) -> int:
        """`layers` of them."""
        return self.layers
