"""Bits per byte of a text under a causal model, so models with other tokenizers can be laid beside it.

Shapes: W tokens of a window, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

CONTEXT = 512
STRIDE = 128
"""A window's first tokens are context alone after the first window, so each token sees at least CONTEXT - STRIDE."""
AT_ONCE = 8


@torch.no_grad()
def log2_probs(model: Any, tokens: Sequence[int], stride: int = STRIDE) -> npt.NDArray[np.float64]:
    """Log2 of the probability of each token but the first after those before it, [len(tokens) - 1]."""
    scored: list[npt.NDArray[np.float64]] = []
    starts = list(range(0, max(1, len(tokens) - 1 - (CONTEXT - stride)), stride))
    full = [start for start in starts if start + CONTEXT + 1 <= len(tokens)]
    later = [full[i : i + AT_ONCE] for i in range(1, len(full), AT_ONCE)]
    for group in [full[:1] or starts[:1], *later, *([start] for start in starts[max(1, len(full)) :])]:
        windows = torch.tensor([tokens[start : start + CONTEXT + 1] for start in group], device=model.device)
        scored.extend(_window_log2(model, windows, seen=CONTEXT - stride if group[0] else 0))
    return np.concatenate(scored)


def _window_log2(model: Any, windows: torch.Tensor, seen: int) -> npt.NDArray[np.float64]:
    """Of each window's tokens behind its first `seen`, which are context: they cost no logits."""
    hidden = model.model(input_ids=windows[:, :-1], use_cache=False).last_hidden_state
    rows = []
    for hidden_WH, targets in zip(hidden[:, seen:], windows[:, 1 + seen :], strict=True):
        logits_WV = model.lm_head(hidden_WH).float()
        picked = logits_WV.gather(1, targets[:, None])[:, 0] - logits_WV.logsumexp(dim=1)
        rows.append(picked.double().cpu().numpy() / math.log(2))
    return np.stack(rows)


def bits_per_byte(log2: npt.NDArray[np.float64], text_bytes: int) -> float:
    """Bits of all tokens, the end's too, over the bytes of the text."""
    return float(-log2.sum() / text_bytes)
