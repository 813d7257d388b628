"""The part of an encoder that a run trains: the layers above `depth`, grafted on cached states of those below.

The frozen layers stay in the module tree (so names, PEFT adapters and saved files keep the ecosystem's layout) but
are skipped: a hook hands the cached states to the first live layer. Masks, rotary positions and everything else an
architecture does around its layers is its own code's business.

Legend: B texts, T tokens, D width.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fewtune.backbones import batches
from fewtune.backbones.encoder import Encoder, unit
from fewtune.backbones.pooling import POOLS
from fewtune.backbones.precision import compute_precision
from fewtune.backbones.quiet import quiet
from fewtune.errors import BackboneError

CHUNK_TOKENS = 1024
"""A batch is run in chunks of like length, at least this many tokens each: less padding, still large products."""


def layer_list(model: nn.Module) -> nn.ModuleList | None:
    """The stack of transformer layers; None where an architecture shares one layer (ALBERT)."""
    count = int(getattr(model.config, "num_hidden_layers", 0))
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    return None


def layer_count(encoder: Encoder) -> int:
    """How many layers can be frozen one by one; 0 where the architecture shares one."""
    layers = layer_list(encoder.model)
    return 0 if layers is None else len(layers)


class Body(nn.Module):
    """A private copy of `encoder` whose layers above `depth` can be trained; frozen tensors are shared, not copied.

    Parameters
    ----------
    encoder : the frozen backbone.
    depth : how many of the lowest layers are skipped and read from the encoder's cache; 0 runs them all.
    train_layers : whether the layers above `depth` are trainable (False when an adapter will be).
    """

    def __init__(self, encoder: Encoder, *, depth: int, train_layers: bool = True) -> None:
        super().__init__()
        self.encoder, self.depth = encoder, depth
        layers = layer_list(encoder.model)
        if layers is None and depth:
            raise BackboneError(f"{encoder.name} shares its layers: none can be frozen alone.")
        if layers is not None and not 0 <= depth < len(layers):
            raise BackboneError(f"{encoder.name} has {len(layers)} layers: {depth} frozen ones leave none to train.")
        live = [] if layers is None else list(layers)[depth:]
        self.model: Any = _copy_sharing_frozen(encoder.model, live if train_layers else [])
        self._prefix: torch.Tensor | None = None
        if train_layers:
            self._unfreeze(layers is None)
        if depth:
            self._graft()

    def _unfreeze(self, shared_layers: bool) -> None:
        # Word embeddings stay frozen: on little data only a few of their rows would ever move.
        if shared_layers:
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad_("embeddings" not in name)
            return
        layers = layer_list(self.model)
        assert layers is not None
        for layer in list(layers)[self.depth :]:
            layer.requires_grad_(True)

    def _graft(self) -> None:
        layers = layer_list(self.model)
        assert layers is not None
        others = _other_outputs(self.model, layers[0])
        for layer in list(layers)[: self.depth]:
            # The frozen layer costs nothing; its module and attributes stay.
            layer.forward = functools.partial(_pass_through, others=others)
        layers[self.depth].register_forward_pre_hook(self._hand_over, with_kwargs=True)

    def _hand_over(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        assert self._prefix is not None
        if args:
            return (self._prefix, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": self._prefix}

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """[B, D] pooled float32 vectors, in the order of `texts`; repeated texts are computed once."""
        unique = list(dict.fromkeys(texts))
        tokens = self.encoder.tokens(unique)
        lengths = [len(ids) for ids in tokens]
        budget = max(CHUNK_TOKENS, sum(lengths) // 2)
        pooled: dict[int, torch.Tensor] = {}
        with compute_precision():  # around all chunks: the weights are cast once, not once a chunk
            for rows in batches.by_length(lengths, token_budget=budget):
                pooled.update(zip(rows.tolist(), self._chunk([unique[row] for row in rows]), strict=True))
        place = {text: row for row, text in enumerate(unique)}
        return torch.stack([pooled[place[text]] for text in texts])

    def _chunk(self, texts: list[str]) -> torch.Tensor:
        ids_BT, mask_BT = batches.pad_tokens(self.encoder.tokens(texts), self.encoder.pad_id)
        ids_BT, mask_BT = ids_BT.to(self.encoder.device), mask_BT.to(self.encoder.device)
        if self.depth:
            states = self.encoder.hidden(texts, self.depth)
            self._prefix = nn.utils.rnn.pad_sequence(states, batch_first=True)
        with compute_precision():
            hidden_BTD = self.model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        self._prefix = None
        return POOLS[self.encoder.pooling.mode](hidden_BTD.float(), mask_BT)

    @torch.no_grad()
    def embed(self, texts: Sequence[str], *, normalise: bool = True) -> torch.Tensor:
        """[N, D] vectors in evaluation mode, unit length unless told otherwise."""
        was_training = self.training
        self.eval()
        vectors: dict[str, torch.Tensor] = {}
        unique = list(dict.fromkeys(texts))
        lengths = [len(ids) for ids in self.encoder.tokens(unique)]
        for rows in batches.by_length(lengths, token_budget=4 * CHUNK_TOKENS):
            part = [unique[row] for row in rows]
            vectors.update(zip(part, self._chunk(part), strict=True))
        self.train(was_training)
        stacked = torch.stack([vectors[text] for text in texts])
        return unit(stacked) if normalise else stacked

    @property
    def trainable_parameters(self) -> int:
        """How many of its weights move."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)

    def trained(self) -> dict[str, torch.Tensor]:
        """Copies of the trainable tensors by name."""
        named = self.model.named_parameters()
        return {name: parameter.detach().clone() for name, parameter in named if parameter.requires_grad}

    @torch.no_grad()
    def load_trained(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what `trained` gave."""
        own = dict(self.model.named_parameters())
        for name, tensor in state.items():
            own[name].copy_(tensor)

    def save(self, folder: Path) -> None:
        """Write the body as a PEFT adapter when it has one, else as a whole Hugging Face encoder."""
        if hasattr(self.model, "peft_config"):
            self.model.save_pretrained(folder / "adapter", safe_serialization=True)
            return
        whole = copy.deepcopy(self.encoder.model)
        whole.load_state_dict(self.trained(), strict=False)
        whole.save_pretrained(folder, safe_serialization=True)


def _pass_through(hidden_states: torch.Tensor, *_: Any, others: int | None, **__: Any) -> Any:
    return hidden_states if others is None else (hidden_states, *[None] * others)


@torch.no_grad()
def _other_outputs(model: Any, layer: nn.Module) -> int | None:
    """How many things a layer returns in a tuple beside its states (DeBERTa); None where it returns them bare."""
    seen: list[Any] = []
    hook = layer.register_forward_hook(lambda _layer, _args, output: seen.append(output))
    try:
        token = torch.zeros((1, 1), dtype=torch.long, device=next(iter(model.parameters())).device)
        model(input_ids=token, attention_mask=torch.ones_like(token))
    finally:
        hook.remove()
    return len(seen[0]) - 1 if isinstance(seen[0], tuple) else None


def _copy_sharing_frozen(model: nn.Module, live: list[nn.Module]) -> nn.Module:
    """A deep copy in which every parameter outside `live` is the same tensor as in `model`."""
    mine = {id(parameter) for layer in live for parameter in layer.parameters()}
    everything = not live and layer_list(model) is None
    shared = {} if everything else {id(p): p for p in model.parameters() if id(p) not in mine}
    memo: dict[int, Any] = dict(shared)
    with quiet():  # copying touches attributes that transformers has deprecated
        copied: nn.Module = copy.deepcopy(model, memo)
    return copied
