"""Gradient checkpointing: what layers computed is thrown away and computed again on the way back.

A third more work for a step, and of each layer only its input is held. A packed layer is computed again among the texts
it was computed among, with the noise it drew then: the gradient is the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fewtune.backbones.layout import Layout, current, laid_out
from fewtune.backbones.noise import Noise
from fewtune.backbones.quiet import quiet


def checkpoint_layers(model: Any, noise: Noise | None = None) -> bool:
    """Have every layer of `model` computed again on the way back; False where that cannot be.

    Parameters
    ----------
    model : of transformers, or PEFT's around one.
    noise : the streams its dropout draws from, where they are not torch's own.
    """
    if not getattr(model, "supports_gradient_checkpointing", False) or hands_over_a_cache(model):
        return False
    with quiet():
        options = {"use_reentrant": False, "context_fn": lambda: _contexts(noise)}
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
        # A layer that is computed twice would enter itself twice into the cache that only generation needs.
        model.config.use_cache = False
    return True


def hands_over_a_cache(model: Any) -> bool:
    """Whether the layers are given something in the cache that checkpointing must throw away: a learned prefix."""
    configs = getattr(model, "peft_config", None)
    configs = configs.values() if isinstance(configs, dict) else ()
    return any(str(getattr(config, "peft_type", "")).endswith("PREFIX_TUNING") for config in configs)


def _contexts(noise: Noise | None) -> tuple[Any, Any]:
    """Around a layer the first time, and around it when it is computed again."""
    layout = current()
    drawn = None if noise is None else [noise.state(run) for run in range(len(noise.streams))]
    return contextlib.nullcontext(), _again(layout, noise, drawn)


@contextlib.contextmanager
def _again(layout: Layout | None, noise: Noise | None, drawn: list[dict[str, Any]] | None) -> Iterator[None]:
    if noise is None or drawn is None:
        with contextlib.nullcontext() if layout is None else laid_out(layout):
            yield
        return
    now = [noise.state(run) for run in range(len(drawn))]
    _put(noise, drawn)
    try:
        with contextlib.nullcontext() if layout is None else laid_out(layout):
            yield
    finally:
        _put(noise, now)


def _put(noise: Noise, states: list[dict[str, Any]]) -> None:
    for run, state in enumerate(states):
        noise.load_state(state, run)
