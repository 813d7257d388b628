"""Other things than plain vectors to learn before every text: a network that writes them, or keys and values.

Legend: K runs that there is room for, P places of the longest prompt, E width of a word embedding, I inner width of
the network, L layers, H heads of keys and values, W width of a head, S tokens of a pack, V its places that are learned.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from fewtune.backbones.attention import attention
from fewtune.backbones.encoder import Encoder
from fewtune.backbones.layout import Layout, current
from fewtune.backbones.prompts import PromptBody, embedding_width

PREFIXED = "fewtune_prefixed"


class NetworkPromptBody(PromptBody):
    """Vectors before every text, written by a network of three layers that each run learns with its embeddings.

    Parameters
    ----------
    inner : I.
    """

    def __init__(self, encoder: Encoder, *, seeds: Sequence[int], tokens: int, inner: int) -> None:
        super().__init__(encoder, seeds=seeds, tokens=tokens)
        width, device = embedding_width(encoder), encoder.device
        sizes = {"0": (inner, width), "2": (inner, inner), "4": (width, inner)}
        for name, (outer, inward) in sizes.items():
            weight_KOI = torch.zeros(self.slots, outer, inward, device=device)
            self.register_parameter(f"weight_{name}", nn.Parameter(weight_KOI))
            self.register_parameter(f"bias_{name}", nn.Parameter(weight_KOI.new_zeros(self.slots, outer)))
        self.layers = tuple(sizes)

    @property
    def moving(self) -> dict[str, nn.Parameter]:
        """Embeddings and network."""
        parts = [(layer, part) for layer in self.layers for part in ("weight", "bias")]
        return super().moving | {f"mlp_head.{layer}.{part}": getattr(self, f"{part}_{layer}") for layer, part in parts}

    def prompts(self) -> torch.Tensor:
        """[K, P, E] what the networks write."""
        states: torch.Tensor = self.embedding_KPE
        for place, layer in enumerate(self.layers):
            weight_KOI, bias_KO = getattr(self, f"weight_{layer}"), getattr(self, f"bias_{layer}")
            states = torch.baddbmm(bias_KO.unsqueeze(1), nn.functional.relu(states) if place else states, weight_KOI.mT)
        return states


class PrefixBody(PromptBody):
    """Keys and values before every text, in every layer.

    Each stands at a place of its own in the pack, whose own states nobody looks at: where keys and values are handed to
    attention, what is learned takes their place. So texts, prompts and runs are told apart in one way for all.

    Parameters
    ----------
    layers, heads, head_width : L, H, W.
    """

    def __init__(
        self, encoder: Encoder, *, seeds: Sequence[int], tokens: int, layers: int, heads: int, head_width: int
    ) -> None:
        self.shape = (layers * 2, heads, head_width)
        super().__init__(encoder, seeds=seeds, tokens=tokens, width=layers * 2 * heads * head_width)

    def finish_up(self) -> None:
        """A layer in one piece would not ask for the keys."""
        register()
        self.model.config._attn_implementation = PREFIXED

    def prompts(self) -> torch.Tensor:
        """[K, P, E] nothing."""
        return self.embedding_KPE.new_zeros(*self.embedding_KPE.shape[:2], embedding_width(self.encoder))

    def _states(self, ids: Sequence[Sequence[int]], runs: Sequence[int], layout: Layout) -> torch.Tensor:
        """[S, D] of places and texts."""
        most = self.embedding_KPE.shape[1]
        spans = list(zip(layout.starts[:-1].tolist(), runs, strict=True))
        places = [start + np.arange(self.tokens_K[run]) for start, run in spans]
        learned = [run * most + np.arange(self.tokens_K[run]) for _, run in spans]
        device = self.encoder.device
        places_V, rows_V = (torch.from_numpy(np.concatenate(part)).to(device) for part in (places, learned))
        kept_VE = self.embedding_KPE.flatten(0, 1).index_select(0, rows_V)
        _learned[layout] = (places_V, kept_VE.view(len(kept_VE), *self.shape))
        return super()._states(ids, runs, layout)


_learned: WeakKeyDictionary[Layout, tuple[torch.Tensor, torch.Tensor]] = WeakKeyDictionary()
"""Of each pass under way: the places of learned keys and values, and all of them, [V, 2L, H, W]."""


def prefixed(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    """Attention of a pack, with learned keys and values in their places."""
    layout = current()
    assert layout is not None, "packed attention outside of a pack"
    places_V, kept_VLHW = _learned[layout]
    key, value = (
        part.index_copy(2, places_V, kept_VLHW[:, 2 * module.layer_idx + which].transpose(0, 1)[None].to(part.dtype))
        for which, part in enumerate((key, value))
    )
    return attention(module, query, key, value, *args, **kwargs)


@functools.cache
def register() -> None:
    """Make `PREFIXED` known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(PREFIXED, prefixed)
