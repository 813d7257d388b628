"""Top layers only: the highest layers move; those below are frozen, and packed rows read them from a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fewtune.errors import UsageError
from fewtune.methods.generation.moving import Moving, opened
from fewtune.methods.generation.tuned import NextTokenMethod

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class TopLayersWriter(NextTokenMethod):
    """Next-token tuning of the highest `layers` layers."""

    name: ClassVar[str] = "top_layers"
    title: ClassVar[str] = "Top layers tuned"
    rung: ClassVar[int] = 4

    rate: float = 2e-4
    layers: int = 2
    """Of each stack, where a model has an encoder and a decoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neftune:
            raise UsageError("top_layers reads the layers below from a cache: noise on embeddings never reaches it.")
        if self.layers < 1:
            raise UsageError(f"top_layers tunes 1 layer or more, not {self.layers}.")

    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """The highest layers."""
        return opened(language_model, self.layers, seed)
