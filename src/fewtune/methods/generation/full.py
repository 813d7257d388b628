"""Full tuning: every layer moves; word embeddings and the head stay, since few of their rows are ever seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fewtune.methods.generation.moving import Moving, opened
from fewtune.methods.generation.tuned import NextTokenMethod

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class FullWriter(NextTokenMethod):
    """Next-token tuning of every layer."""

    name: ClassVar[str] = "full"
    title: ClassVar[str] = "Full tuning"
    rung: ClassVar[int] = 5

    rate: float = 1e-4
    """Ten times less than an adapter's ("LoRA Without Regret", Schulman and others 2025: a ratio of about ten)."""

    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """All layers."""
        return opened(language_model, None, seed)
