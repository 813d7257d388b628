"""IA³: keys, values and the feed-forward layer's inner states are scaled by learned vectors (Liu and others 2022).

A few thousand numbers, all of them 1 at first. The paper's rate, 3e-3, is for T0 with 11 billion weights and Adafactor;
small models under AdamW need more: of 3e-3, 1e-2 and 3e-2 the last was best on the starter (74 notes, six epochs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fewtune.methods.generation.peft_method import PeftMethod

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class IA3Writer(PeftMethod):
    """Next-token tuning of scales."""

    name: ClassVar[str] = "ia3"
    title: ClassVar[str] = "IA³"
    rung: ClassVar[int] = 3

    rate: float = 3e-2

    def config(self, language_model: LanguageModel) -> Any:
        """The layers PEFT names for the architecture."""
        from peft import IA3Config

        return IA3Config()
