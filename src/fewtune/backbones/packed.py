"""Texts one behind the other in one row, without padding: every product then works on real tokens only.

Nearly all of a transformer works token by token and does not care whose token comes next. What does care, attention,
is taken over by a function registered with transformers under `PACKED`: it looks up which tokens belong together in
the `Layout` of the forward pass under way. Whether an architecture lets that be done, and from which number its
positions count, is not looked up in a table but tried once a backbone (`first_position`): two texts packed must give
what they give padded.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import torch

from fewtune.backbones.attention import attention
from fewtune.backbones.layout import Layout, laid_out

PACKED = "fewtune_packed"


def use_packed_attention(model: Any) -> None:
    """Have a private copy of a model attend by the layout."""
    model.config._attn_implementation = PACKED


@functools.cache
def register() -> None:
    """Make `PACKED` known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(PACKED, attention)


@torch.no_grad()
def first_position(model: Any, pad_id: int) -> int | None:
    """The number of the first position when texts are packed; None where the architecture cannot be packed.

    `model` is left as it was. Found by trying: packed texts must give what padded texts give.
    """
    register()
    if getattr(model.config, "model_type", "") in ("t5", "mt5"):  # positions are biases over the whole row
        return None
    before, training = model.config._attn_implementation, model.training
    model.eval()
    vocabulary = int(model.config.vocab_size)
    texts = [[(7 * place + 3) % vocabulary for place in range(length)] for length in (3, 7)]
    texts = [[token if token != pad_id else (token + 1) % vocabulary for token in text] for text in texts]
    padded = torch.tensor([texts[0] + [pad_id] * 4, texts[1]], device=model.device)
    mask = torch.tensor([[1] * 3 + [0] * 4, [1] * 7], device=model.device)
    expected = model(input_ids=padded, attention_mask=mask).last_hidden_state
    expected = torch.cat([expected[0, :3], expected[1]])
    layout = Layout([3, 7], device=model.device)
    apart = max(1e-4, 4 * torch.finfo(expected.dtype).eps)  # weights in bf16 round otherwise in another shape
    try:
        use_packed_attention(model)
        for first in dict.fromkeys((0, pad_id + 1)):
            with contextlib.suppress(Exception), laid_out(layout):  # whatever it trips over, it cannot be packed
                flat = torch.tensor([texts[0] + texts[1]], device=model.device)
                found = model(input_ids=flat, position_ids=(layout.positions_S + first)[None]).last_hidden_state[0]
                if torch.allclose(found, expected, rtol=10 * apart, atol=apart * float(expected.abs().max())):
                    return first
    finally:
        model.config._attn_implementation = before
        model.train(training)
    return None
