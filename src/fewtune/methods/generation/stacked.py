"""Runs of a method that writes, trained side by side over one trunk: all their rows in one pass.

A run's loss is that of the run alone: the mean over the tokens of its own batch that count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from fewtune.backbones.language.trunk import Trunk, packed_costs
from fewtune.methods.base import IntArray, Material, Stack
from fewtune.methods.generation.tuned import NextTokenTunable

if TYPE_CHECKING:
    from fewtune.backbones.body import Body
    from fewtune.methods.generation.tuned import NextTokenMethod


class NextTokenStack(Stack):
    """Runs of one trunk.

    Parameters
    ----------
    body : with a slot for each of `methods`.
    """

    def __init__(self, body: Body, methods: Sequence[NextTokenMethod]) -> None:
        assert isinstance(body.encoder, Trunk)
        self.body, self.slots = body, body.slots
        self.language_model = body.encoder.language_model
        # Whoever is in a slot, the tensors are the same: a run's groups say which of them have one rate.
        first = methods[0].in_slot(self.language_model, body, 0, 0)
        self._groups: list[list[torch.Tensor]] = [list(group["params"]) for group in first.groups(1.0, 0.0)]
        self.runs: dict[int, NextTokenTunable] = {}

    def enter(self, slot: int, method: NextTokenMethod, material: Material) -> NextTokenTunable:
        """Begin a run: its initial weights, its own noise and dropout."""
        moving = method.in_slot(self.language_model, self.body, slot, material.seed)
        self.runs[slot] = NextTokenTunable(method, material, moving)
        return self.runs[slot]

    def stacked_groups(self) -> list[list[torch.Tensor]]:
        """What moves."""
        return self._groups

    def losses(self, batch: Mapping[int, IntArray]) -> dict[int, torch.Tensor]:
        """Of each run, the mean over its tokens that count."""
        slots = sorted(batch)
        rows = [self.runs[slot].windows(batch[slot]) for slot in slots]
        owners = [slot for slot, own in zip(slots, rows, strict=True) for _ in own]
        costs_B = packed_costs(self.body, [row for own in rows for row in own], owners)
        parts = torch.split(costs_B, [len(own) for own in rows])
        counted = [sum(row.counted_tokens for row in own) for own in rows]
        return {slot: part.sum() / max(1, n) for slot, part, n in zip(slots, parts, counted, strict=True)}


__all__ = ["NextTokenStack"]
