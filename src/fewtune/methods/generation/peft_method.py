"""What the methods that PEFT builds share: its model around a private copy, padded, trained by the loop of all others.

A subclass says which `PeftConfig` it means. What is trained is what PEFT made; what is saved is what PEFT saves.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fewtune.backbones.body import Body
from fewtune.backbones.language.trunk import Trunk, trunk_of
from fewtune.backbones.language.virtual import virtual_tokens
from fewtune.backbones.prompts import PromptBody
from fewtune.errors import BackboneError, UsageError
from fewtune.methods.generation.moving import Moving, PackedMoving, WholeMoving
from fewtune.methods.generation.packed_prompt import PackedPrompt, packs
from fewtune.methods.generation.tuned import NextTokenMethod

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder
    from fewtune.backbones.language.model import LanguageModel

LEAST_ROOM = 16
"""Tokens of the context that virtual ones must leave."""


@dataclass(frozen=True)
class PeftMethod(NextTokenMethod):
    """Next-token tuning of what PEFT adds to a frozen model."""

    weight_decay: float = 0.0
    """None: what is learned is small."""

    @abstractmethod
    def config(self, language_model: LanguageModel) -> Any:
        """What PEFT builds, as a `PeftConfig` without a task type."""

    def start(self, model: Any, language_model: LanguageModel) -> None:
        """Set what PEFT built to where learning begins, where PEFT's own beginning is not meant."""

    def prepare(self, model: Any) -> Any:
        """Change the private copy that PEFT is put around."""
        return model

    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """A frozen model and what PEFT adds."""
        return PeftMoving(language_model, self, seed)


@dataclass(frozen=True)
class LearnedPrompt(PeftMethod):
    """What prompt, prefix and P-tuning share: virtual tokens before every text."""

    tokens: int = 20
    """How many virtual tokens stand before every text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tokens < 1:
            raise UsageError(f"{self.name} learns 1 virtual token or more, not {self.tokens}.")
        if self.neftune:
            raise UsageError(f"{self.name} learns embeddings: noise on those of words would only drown them.")

    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """Raises UsageError where the virtual tokens leave no room for a text."""
        if self.tokens + LEAST_ROOM > language_model.context:
            raise UsageError(
                f"{self.name}: {self.tokens} virtual tokens leave no room in {language_model.name}'s context of "
                f"{language_model.context} tokens. Set {self.name}.tokens lower."
            )
        trunk = trunk_of(language_model)
        return self.alone(trunk, seed) if packs(trunk, self) else super().moving(language_model, seed)

    @property
    def extent(self) -> int:
        """How many virtual tokens."""
        return self.tokens

    @property
    def before(self) -> int:
        """The virtual tokens."""
        return self.tokens

    def shared(self) -> Hashable:
        """Prompts may differ in length and beginning."""
        return self.name

    def stacks_on(self, encoder: Encoder) -> bool:
        """Where prompts of this kind can be packed."""
        return isinstance(encoder, Trunk) and packs(encoder, self)

    def packed(self, trunk: Trunk, seeds: Sequence[int], largest: int) -> Body:
        """A frozen trunk with room for a prompt for each seed."""
        return PromptBody(trunk, seeds=seeds, tokens=largest)

    def in_slot(self, language_model: LanguageModel, body: Body, slot: int, seed: int) -> PackedMoving:
        """A prompt as it begins."""
        assert isinstance(body, PromptBody)
        return PackedPrompt(language_model, body, self, seed, slot)


class PeftMoving(WholeMoving):
    """A whole model inside PEFT's."""

    def __init__(self, language_model: LanguageModel, method: PeftMethod, seed: int) -> None:
        from fewtune.backbones.language.whole import Whole

        whole = Whole(language_model)
        whole.model = built(method.prepare(whole.model), language_model, method, seed)
        if virtual := virtual_tokens(whole.model):
            language_model = replace(language_model, context=language_model.context - virtual)
        super().__init__(language_model, whole)

    def merged(self) -> Any:
        """A plain model, where the method folds into weights; else PEFT's, which writes by itself."""
        from fewtune.backbones.layers import sharing_copy

        model = self.whole.model
        if virtual_tokens(model):
            return model
        # Merging writes into the weights that are adapted: those are copied, the others shared.
        kept = {id(p): p for name, p in model.named_parameters() if ".base_layer." not in name}
        return sharing_copy(model, kept).merge_and_unload().requires_grad_(False).eval()

    def save(self, folder: Path) -> None:
        """`adapter/`, written by PEFT."""
        from fewtune.backbones.quiet import quiet

        with quiet():
            # Word embeddings never move; asked to find that out, PEFT would look for the base on the Hub.
            self.whole.model.save_pretrained(folder / "adapter", safe_serialization=True, save_embedding_layers=False)


def built(model: Any, language_model: LanguageModel, method: PeftMethod, seed: int) -> Any:
    """PEFT's model around `model`, its weights drawn from `seed`. Raises BackboneError where PEFT knows no way."""
    from peft import TaskType, get_peft_model

    from fewtune.backbones.quiet import quiet

    def make() -> Any:
        config = method.config(language_model)
        config.task_type = TaskType.SEQ_2_SEQ_LM if language_model.kind == "seq2seq" else TaskType.CAUSAL_LM
        return get_peft_model(model, config)

    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        found = _or_refused(make, language_model, method)
        method.start(found, language_model)
    return found.to(language_model.device)


def _or_refused(make: Callable[[], Any], language_model: LanguageModel, method: PeftMethod) -> Any:
    try:
        return make()
    except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise BackboneError(
            f"PEFT has no {method.title} for {language_model.name}, a {language_model.model.config.model_type} model "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}). Take lora."
        ) from error


__all__ = ["LearnedPrompt", "PeftMethod", "PeftMoving", "built"]
