"""Learned prompts of models that write, packed: each text behind its run's vectors or keys and values, unpadded.

PEFT draws what a run starts from, and writes what is saved; the model it builds is what answers when text is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from fewtune.backbones.layers import sharing_copy
from fewtune.backbones.precision import detect
from fewtune.backbones.prompts import VECTORS, PromptBody, save_in_peft
from fewtune.methods.generation.moving import PackedMoving

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.backbones.language.trunk import Trunk
    from fewtune.methods.generation.peft_method import LearnedPrompt

PREFIX = "prompt_encoder.default."
IN_BF16 = 0.05
"""How far logits may be apart in half precision, of the largest: another prompt or another mask is further off."""


class PackedPrompt(PackedMoving):
    """A causal model's trunk behind a learned prompt."""

    body: PromptBody

    def __init__(
        self, language_model: LanguageModel, body: PromptBody, method: LearnedPrompt, seed: int, slot: int = 0
    ) -> None:
        shorter = replace(language_model, context=language_model.context - method.tokens)
        super().__init__(shorter, body, seed, slot)
        self.prefix, self.method, self.opened = PREFIX, method, language_model
        body.enter(slot, encoder_of(in_peft(language_model, method, seed)).state_dict())

    def trained(self) -> dict[str, torch.Tensor]:
        """Of the run, as long as its prompt is."""
        return {PREFIX + name: tensor for name, tensor in self.body.learned(self.slot).items()}

    def load_trained(self, state: dict[str, torch.Tensor]) -> None:
        """Of the run."""
        self.body.enter(self.slot, {name.removeprefix(PREFIX): tensor for name, tensor in state.items()})

    def merged(self) -> Any:
        """PEFT's model, which writes by itself: a prompt folds into no weight."""
        return in_peft(self.opened, self.method, 0, self.body.learned(self.slot))

    def save(self, folder: Path) -> None:
        """`adapter/`, written by PEFT."""
        save_in_peft(self.merged(), folder)


def in_peft(
    language_model: LanguageModel, method: LearnedPrompt, seed: int, learned: Mapping[str, torch.Tensor] | None = None
) -> Any:
    """PEFT's model around a copy that shares its tensors: with what it draws from `seed`, or with what was learned."""
    from fewtune.methods.generation.peft_method import built

    model = built(sharing_copy(language_model.model), language_model, method, seed)
    if learned is not None:
        encoder_of(model).load_state_dict({name: learned[name] for name in encoder_of(model).state_dict()})
    return model.requires_grad_(False).eval()


def encoder_of(model: Any) -> nn.Module:
    """The part of PEFT's model that holds what is learned."""
    found: nn.Module = model.prompt_encoder["default"]
    return found


_agreed: WeakKeyDictionary[Trunk, dict[str, bool]] = WeakKeyDictionary()


def packs(trunk: Trunk, method: LearnedPrompt) -> bool:
    """Whether a model packed behind a prompt of this kind says what PEFT's says: tried once a model and kind."""
    if not trunk.fits:
        return False
    known = _agreed.setdefault(trunk, {})
    if method.name not in known:
        known[method.name] = _agrees(trunk, method)
    return known[method.name]


@torch.no_grad()
def _agrees(trunk: Trunk, method: LearnedPrompt) -> bool:
    language_model = trunk.language_model
    ids = [(5 * place + 1) % language_model.vocabulary for place in range(6)]
    try:
        moving = method.alone(trunk, 0)
        moving.train(False)
        states_SD, _ = moving.body.packed_states([trunk.enter(ids)], [0])
        theirs = moving.merged()(input_ids=torch.tensor([ids], device=trunk.device)).logits[0, -len(ids) :]
    except (AttributeError, TypeError, ValueError, RuntimeError):  # whatever it trips over, it is trained padded
        return False
    # Packed in the format of products, PEFT's in that of the weights.
    apart = 1e-3 if detect() == "float32" and theirs.dtype == torch.float32 else IN_BF16
    return bool((trunk.logits(states_SD) - theirs).abs().max() <= apart * theirs.float().abs().max())


__all__ = ["VECTORS", "PackedPrompt", "encoder_of", "in_peft", "packs"]
