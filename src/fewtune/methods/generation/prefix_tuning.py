"""Prefix tuning: keys and values before every text are learned, in every layer (Li and Liang 2021).

Learned straight, without the paper's network in between, as in P-tuning v2 (Liu and others 2022), which takes rates of
5e-3 to 1e-2 over thousands of steps. In the few that small data gives, 0.1 was best of 0.01, 0.03 and 0.1 on the
starter (74 notes, six epochs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fewtune.methods.generation.peft_method import LearnedPrompt

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class PrefixTuningWriter(LearnedPrompt):
    """Next-token tuning of keys and values before the text."""

    name: ClassVar[str] = "prefix_tuning"
    title: ClassVar[str] = "Prefix tuning"
    rung: ClassVar[int] = 3

    rate: float = 1e-1

    def config(self, language_model: LanguageModel) -> Any:
        """In every layer; of a seq2seq model, of the decoder and of what it reads."""
        from peft import PrefixTuningConfig

        return PrefixTuningConfig(num_virtual_tokens=self.tokens)
