"""DoRA: low-rank updates of a weight's direction, its length learned apart (Liu and others 2024).

Half of LoRA's rank, as the paper finds enough; each step costs more. Of 1e-3 and 3e-3 the latter was a little better on
the starter (74 notes, six epochs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fewtune.methods.generation.low_rank import LowRankMethod, adaptable
from fewtune.methods.generation.peft_method import PeftMethod

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class DoRAWriter(LowRankMethod, PeftMethod):
    """Next-token tuning of direction and length of every linear layer."""

    name: ClassVar[str] = "dora"
    title: ClassVar[str] = "DoRA"
    rung: ClassVar[int] = 3

    rank: int = 8
    """Half of LoRA's."""
    alpha: int = 16
    targets: tuple[str, ...] = ()
    """Last parts of the names of the linear layers to adapt, such as `q_proj`; all of them when empty."""

    def config(self, language_model: LanguageModel) -> Any:
        """Of every linear layer but the head."""
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.lora_dropout,
            use_dora=True,
            target_modules=adaptable(language_model, None, self.targets),
        )
