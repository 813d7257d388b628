"""P-tuning: embeddings before every text, written by a small network that is learned with them (Liu and others 2021).

The network makes the embeddings move together; only they are kept. The paper's rates are 1e-5 to 3e-5 with the whole
model moving; with a frozen one 1e-2 was best of 1e-3, 3e-3 and 1e-2 on the starter (74 notes, six epochs).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fewtune.backbones.prompt_kinds import NetworkPromptBody
from fewtune.errors import UsageError
from fewtune.methods.generation.peft_method import LearnedPrompt

if TYPE_CHECKING:
    from fewtune.backbones.body import Body
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.backbones.language.trunk import Trunk


@dataclass(frozen=True)
class PTuningWriter(LearnedPrompt):
    """Next-token tuning of a network that writes embeddings before the text."""

    name: ClassVar[str] = "p_tuning"
    title: ClassVar[str] = "P-tuning"
    rung: ClassVar[int] = 3

    rate: float = 1e-2
    width: int = 128
    """Of the network's inner layers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise UsageError(f"p_tuning's network is 1 wide or more, not {self.width}.")

    def shared(self) -> Hashable:
        """Networks of one width."""
        return (self.name, self.width)

    def packed(self, trunk: Trunk, seeds: Sequence[int], largest: int) -> Body:
        """A frozen trunk with room for a network for each seed."""
        return NetworkPromptBody(trunk, seeds=seeds, tokens=largest, inner=self.width)

    def config(self, language_model: LanguageModel) -> Any:
        """A network of three layers, before what is read."""
        from peft import PromptEncoderConfig

        return PromptEncoderConfig(
            num_virtual_tokens=self.tokens, encoder_hidden_size=self.width, num_transformer_submodules=1
        )
