"""Cross-entropy of tied logits in pieces: with 8,192 entries the logits are most of a small model's memory traffic.

Shapes: N positions, H hidden, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch

PIECE = 1_024
"""Positions at a time; their logits (16 MB in bf16) stay near the core."""


class PiecewiseCrossEntropy(torch.autograd.Function):
    """Summed loss over positions; the gradients are made in the forward pass, so the logits are never kept."""

    @staticmethod
    def forward(ctx: Any, hidden_NH: torch.Tensor, embedding_VH: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
        hidden_grad_NH = torch.empty_like(hidden_NH)
        embedding_grad_VH = torch.zeros_like(embedding_VH, dtype=torch.float32)
        loss = torch.zeros((), dtype=torch.float32, device=hidden_NH.device)
        for start in range(0, len(targets_N), PIECE):
            hidden, targets = hidden_NH[start : start + PIECE], targets_N[start : start + PIECE, None]
            grad = torch.softmax(hidden @ embedding_VH.T, dim=-1)
            right = grad.gather(1, targets)
            loss -= right.float().clamp_min(1e-30).log().sum()
            grad.scatter_(1, targets, right - 1)
            hidden_grad_NH[start : start + PIECE] = grad @ embedding_VH
            embedding_grad_VH += grad.T @ hidden
        ctx.save_for_backward(hidden_grad_NH, embedding_grad_VH.to(embedding_VH.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        hidden_grad_NH, embedding_grad_VH = ctx.saved_tensors
        return hidden_grad_NH * grads[0], embedding_grad_VH * grads[0], None


def cross_entropy(hidden_NH: torch.Tensor, embedding_VH: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    """Loss summed over positions, in nats."""
    return PiecewiseCrossEntropy.apply(hidden_NH, embedding_VH, targets_N)  # type: ignore[no-any-return,no-untyped-call]
