"""The training step: batch, loss, backward, clip, update. Everything that changes a weight is on this page."""

from __future__ import annotations

import numpy as np
import torch

from fewtune.backbones.portions import Portions
from fewtune.methods.base import IntArray, Tunable
from fewtune.tune.optimiser import forget_gradients, update


def optimiser_for(tunable: Tunable) -> torch.optim.AdamW:
    """AdamW (bias-corrected, float32 state) over the run's parameter groups; each keeps its peak rate in `peak`."""
    groups = [{**group, "peak": group["lr"]} for group in tunable.parameter_groups()]
    return torch.optim.AdamW(groups, fused=True)


def rate_factor(step: int, total_steps: int, warmup_share: float) -> float:
    """Share of the peak rate at `step` (0-based): linear up over the warm-up, linear down to 0 after it."""
    warmup = max(1, round(warmup_share * total_steps))
    if step < warmup:
        return (step + 1) / warmup
    return (total_steps - step) / max(1, total_steps - warmup)


def training_step(
    tunable: Tunable,
    indices: IntArray,
    optimiser: torch.optim.Optimizer,
    *,
    factor: float,
    clip_norm: float,
    portions: Portions | None = None,
) -> float:
    """One update on one batch; returns the batch's loss before it.

    With `portions`, a batch that memory has no room for is worked on in parts, whose gradients add up to its own.
    """
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor
    if portions is None or not tunable.adds_up:
        loss = _backward(tunable.loss(indices))
    else:
        loss = portions.accumulate(
            indices.tolist(),
            lambda rows: _backward(tunable.share(np.asarray(rows, dtype=np.int64), indices)),
            restart=lambda: forget_gradients(optimiser),
        )
    update(optimiser, clip_norm)
    forget_gradients(optimiser)
    return loss


def _backward(loss: torch.Tensor) -> float:
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())
