"""How many runs fit side by side: what one run needs, against what is free.

A run needs its weights, gradients and AdamW's two moments in float32, and what its batch leaves behind for the way
back: about 34 bytes a token, layer and unit of width in half precision, and 5 a head and pair of tokens (Korthikanti
and others 2022, "Reducing Activation Recomputation in Large Transformer Models", equation 1).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fewtune.backbones.layers import layer_count
from fewtune.backbones.precision import detect, device

if TYPE_CHECKING:
    from fewtune.methods.base import Material, Tunable, TunedMethod
    from fewtune.tune.stack import Member

SHARE = 0.7
"""Of the memory that is free: the rest is for what the estimate leaves out."""
BYTES_A_WEIGHT = 16


def room(members: Sequence[Member]) -> int:
    """How many of `members` fit side by side, at least 1."""
    first = members[0].attempt
    encoder = first.method.backbone(first.material)
    # Their rows are folds of the same: one of each method stands for all, as rows to write are tokenised for it.
    kinds = {member.attempt.method: member.attempt for member in members}
    needed = max(need(attempt.method, attempt.material) for attempt in kinds.values())
    return max(1, int(SHARE * free(encoder.device) / needed))


def need(method: TunedMethod, material: Material) -> int:
    """Bytes of one run: what moves, and its largest batch on the way back."""
    encoder = method.backbone(material)
    lengths = sorted(method.lengths(material), reverse=True)
    batch = lengths[: int(getattr(method, "batch_size", 16))]
    layers = layer_count(encoder.model) or int(encoder.model.config.num_hidden_layers)
    live = layers - int(getattr(method, "frozen_layers", lambda _: 0)(encoder))
    heads = int(getattr(encoder.model.config, "num_attention_heads", 1))
    wide = 1 if detect() == "bf16" else 2
    activations = live * wide * (34 * sum(batch) * encoder.width + 5 * heads * sum(t * t for t in batch))
    return activations + BYTES_A_WEIGHT * moving(method, material, live)


def moving(method: TunedMethod, material: Material, live: int) -> int:
    """Weights of a run that are trained, from the shapes of a layer."""
    encoder = method.backbone(material)
    head = len(material.classes) * (encoder.width + 1)
    rank = int(getattr(method, "rank", 0))
    inner = int(getattr(encoder.model.config, "intermediate_size", 4 * encoder.width))
    if rank:  # four products of the attention, two or three of the feed-forward
        return head + live * rank * (8 * encoder.width + 3 * (encoder.width + inner))
    if method.before:  # no more than a key and a value a layer
        return head + live * method.before * 2 * encoder.width
    return head + live * (4 * encoder.width**2 + 3 * encoder.width * inner)


def free(place: torch.device) -> int:
    """Bytes that are free on a device."""
    if place.type == "cuda":
        unused, _ = torch.cuda.mem_get_info(place)
        return int(unused + torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place))
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not told here: room for one
        return 0


@dataclass(frozen=True)
class Plan:
    """How a step is taken."""

    rows: int
    """Worked on at a time."""
    again: bool
    """Whether layers are computed again on the way back."""


def plan_of(tunable: Tunable, batch: int, *, again: bool = False, room: int | None = None) -> Plan | None:
    """As many rows at a time as fit, and layers computed again only where a single row would not fit without.

    None where nobody knows: a run that cannot say what it needs; a CPU, whose free memory says little of what may be
    taken, and which would then round otherwise from one day to the next.

    Parameters
    ----------
    again : whether layers are computed again in any case.
    room : bytes; what is free on the GPU when not given.
    """
    if room is None:
        if device().type != "cuda":
            return None
        room = int(SHARE * free(device()))
    for way in (True,) if again else (False, True):
        rows = batch
        while rows:
            needed = tunable.demand(rows, again=way)
            if needed is None:
                return None
            if needed <= room:
                return Plan(rows, way)
            rows //= 2
    return Plan(1, True)
