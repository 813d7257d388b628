"""Prompt tuning: embeddings before every text are learned and nothing else (Lester, Al-Rfou and Constant 2021).

They start as the embeddings of a sentence, which the paper finds to matter for all but the largest models. The paper's
rate is 0.3, for Adafactor, whose steps shrink with the size of what moves; AdamW's steps are as large as the rate, so
that here it must be smaller, and still far larger than an adapter's: of 0.01, 0.03, 0.1 and 0.3 the third was best on
the starter (74 notes, six epochs).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from fewtune.errors import UsageError
from fewtune.methods.generation.peft_method import LearnedPrompt

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class PromptTuningWriter(LearnedPrompt):
    """Next-token tuning of embeddings before the text."""

    name: ClassVar[str] = "prompt_tuning"
    title: ClassVar[str] = "Prompt tuning"
    rung: ClassVar[int] = 3

    rate: float = 1e-1
    text: str = "Read what follows and answer it as it was answered before."
    """What the virtual tokens are at first, over and over until all are filled."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.text.strip():
            raise UsageError("prompt_tuning starts from a text: prompt_tuning.text is empty.")

    def config(self, language_model: LanguageModel) -> Any:
        """Before what is read; of a seq2seq model, before the encoder's text alone, as in the paper."""
        from peft import PromptTuningConfig

        return PromptTuningConfig(num_virtual_tokens=self.tokens, num_transformer_submodules=1)

    @torch.no_grad()
    def start(self, model: Any, language_model: LanguageModel) -> None:
        """Embeddings of the text. PEFT's own way opens the tokenizer by a path, which a saved adapter would keep."""
        ids = language_model.tokenizer(self.text, add_special_tokens=False)["input_ids"]
        weight = model.prompt_encoder["default"].embedding.weight
        chosen = torch.tensor(list(islice(cycle(ids), self.tokens)), device=language_model.device)
        weight.copy_(language_model.model.get_input_embeddings()(chosen))
