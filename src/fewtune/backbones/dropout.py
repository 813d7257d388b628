"""Dropout of packed texts: each run's part of a pack has noise from the run's own stream.

Legend: S tokens of the pack, D width, K runs that there is room for.
"""

from __future__ import annotations

import torch
from torch import nn

from fewtune.backbones.layout import Layout, current


class RunDropout(nn.Module):
    """Dropout that draws each run's part of a pack from the run's own stream; ordinary dropout outside of a pack.

    Adapters of one layer hold one of these: those that are handed the same states get the same states back.
    """

    def __init__(self, share: float, *, slots: int = 1, adapters: bool = False) -> None:
        super().__init__()
        self.adapters = adapters
        """Whether it belongs to adapters, whose dropout is a setting of its own."""
        self.models_own = share
        self.share_K = [share] * slots

    @property
    def p(self) -> float:
        """The model's own share: what attention is handed by models that keep it in a dropout module."""
        return self.models_own

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """`states` [1, S, D] with a share of the numbers zeroed and the rest scaled up, in training mode."""
        if not self.training or not any(self.share_K):
            return states
        layout = current()
        if layout is None or layout.noise is None:
            return nn.functional.dropout(states, self.share_K[0])
        assert states.shape[:2] == (1, layout.tokens), "dropout on something that is no pack"
        if not self.adapters:
            return self._drop(states, layout)
        given = layout.dropped.get(id(self))
        if given is None or given[0] is not states:
            given = layout.dropped[id(self)] = states, self._drop(states, layout)
        return given[1]

    def _drop(self, states: torch.Tensor, layout: Layout) -> torch.Tensor:
        parts = [
            part * layout.factors(run, self.share_K[run], part) if self.share_K[run] else part
            for run, part in ((run, states[:, start:end]) for run, start, end in layout.bounds)
        ]
        if layout.fill:
            parts.append(states[:, layout.tokens - layout.fill :])
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def install_dropout(module: nn.Module, *, slots: int = 1) -> None:
    """Put a `RunDropout` in place of every `nn.Dropout` inside `module`."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                fresh = RunDropout(child.p, slots=slots)
                fresh.train(child.training)
                setattr(parent, name, fresh)
