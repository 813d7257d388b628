"""Prefix tuning: keys and values before every text are learned, in every layer (Li and Liang 2021).

Learned straight, without the paper's network in between, as in P-tuning v2 (Liu and others 2022), which takes rates of
5e-3 to 1e-2 over thousands of steps. In the few that small data gives, 0.1 was best of 0.01, 0.03 and 0.1 on the
starter (74 notes, six epochs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fewtune.backbones.prompt_kinds import PrefixBody
from fewtune.methods.generation.peft_method import LearnedPrompt

if TYPE_CHECKING:
    from fewtune.backbones.body import Body
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.backbones.language.trunk import Trunk


@dataclass(frozen=True)
class PrefixTuningWriter(LearnedPrompt):
    """Next-token tuning of keys and values before the text."""

    name: ClassVar[str] = "prefix_tuning"
    title: ClassVar[str] = "Prefix tuning"
    rung: ClassVar[int] = 3

    rate: float = 1e-1

    def packed(self, trunk: Trunk, seeds: Sequence[int], largest: int) -> Body:
        """A frozen trunk with room for keys and values for each seed."""
        config = trunk.model.config
        heads = config.num_attention_heads
        return PrefixBody(
            trunk,
            seeds=seeds,
            tokens=largest,
            layers=config.num_hidden_layers,
            heads=getattr(config, "num_key_value_heads", None) or heads,
            head_width=getattr(config, "head_dim", None) or config.hidden_size // heads,
        )

    def config(self, language_model: LanguageModel) -> Any:
        """In every layer; of a seq2seq model, of the decoder and of what it reads."""
        from peft import PrefixTuningConfig

        return PrefixTuningConfig(num_virtual_tokens=self.tokens)
