"""Weights of several runs side by side, over one pack of their tokens: `[K, …]`, one slice a run.

What is frozen is multiplied once for all tokens of all runs; what is trained, each run's tokens by their run's slice.
With one run (`K = 1`) the same modules are what a run trained alone uses.

Legend: K runs that there is room for, S tokens of the pack, I and O widths in and out, R rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fewtune.backbones.dropout import RunDropout
from fewtune.backbones.layers import layer_list
from fewtune.backbones.layout import current

_BOTH_WIDTHS = {"Linear": (1, 0), "Conv1D": (0, 1)}
"""Where a layer's weight keeps its width in and its width out; GPT-2's layers are transposed."""


def times_own(states: torch.Tensor, weight_KOI: torch.Tensor) -> torch.Tensor:
    """[…, S, O]: each token of `states` times the slice of its run."""
    if len(weight_KOI) == 1:
        return nn.functional.linear(states, weight_KOI[0])
    layout = current()
    assert layout is not None, "several runs need a pack"
    assert states.shape[:2] == (1, layout.tokens), "a pack is one row"
    if states.device.type == "cpu":  # a few products of a run's own size cost less than padding them to one
        slices = weight_KOI.unbind()  # at once: the way back then gathers the slices in one piece
        parts = [nn.functional.linear(states[:, tokens], slices[run]) for run, tokens in layout.shares]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    runs_R, places_RM, back_S = layout.by_run
    padded_RMI = states[0].index_select(0, places_RM.flatten()).view(*places_RM.shape, -1)
    product_RMO = padded_RMI @ weight_KOI.index_select(0, runs_R).to(padded_RMI.dtype).transpose(1, 2)
    return product_RMO.flatten(0, 1).index_select(0, back_S)[None]


def own(values_KD: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """The slice of each token's run, to be multiplied with or added to `states`."""
    if len(values_KD) == 1:
        return values_KD[0]
    layout = current()
    assert layout is not None, "several runs need a pack"
    of_tokens = values_KD.index_select(0, layout.run_of_S).to(states.dtype)[None]
    return of_tokens if states.dim() == 3 else of_tokens.unsqueeze(2)  # norms of heads


class StackedLoRA(nn.Module):
    """A frozen linear layer with a low-rank update for each run (Hu and others 2021).

    Ranks may differ: shorter ones are filled up with zeros, which no gradient ever reaches, since the zeros of one
    factor meet those of the other.

    Parameters
    ----------
    dropout : shared by the adapters of a layer; one of its own when not given.
    """

    def __init__(self, base: nn.Module, *, slots: int, rank: int, dropout: RunDropout | None = None) -> None:
        super().__init__()
        self.base = base
        weight: torch.Tensor = base.weight  # type: ignore[assignment]
        inner, outer = (weight.shape[axis] for axis in _BOTH_WIDTHS[type(base).__name__])
        device = weight.device
        self.lora_A = nn.Parameter(torch.zeros(slots, rank, inner, device=device))
        self.lora_B = nn.Parameter(torch.zeros(slots, outer, rank, device=device))
        self.scaling_K = [0.0] * slots
        self.dropout = dropout or RunDropout(0.0, slots=slots, adapters=True)

    @torch.no_grad()
    def enter(self, slot: int, *, rank: int, scaling: float, dropout: float, generator: torch.Generator) -> None:
        """Begin a run in a slot: B is zero, A uniform as PEFT draws it (Kaiming with a = √5)."""
        bound = 1 / math.sqrt(self.lora_A.shape[2])
        drawn = torch.empty(rank, self.lora_A.shape[2]).uniform_(-bound, bound, generator=generator)
        self.lora_A[slot].zero_()
        self.lora_A[slot, :rank] = drawn.to(self.lora_A.device)
        self.lora_B[slot].zero_()
        self.scaling_K[slot] = scaling
        self.dropout.share_K[slot] = dropout

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The frozen layer's answer plus scaling · B A x."""
        answer: torch.Tensor = self.base(states)
        # The scaling goes into the small factor: a product less over the wide one.
        scaling_K11 = self.lora_A.new_tensor(self.scaling_K)[:, None, None]
        return answer + times_own(times_own(self.dropout(states), self.lora_A * scaling_K11), self.lora_B)


class StackedLinear(nn.Module):
    """A linear layer with weights of each run's own."""

    def __init__(self, base: nn.Module, *, slots: int) -> None:
        super().__init__()
        start: torch.Tensor = base.weight  # type: ignore[assignment]
        self.transposed = type(base).__name__ == "Conv1D"
        self.weight = nn.Parameter(start.detach().float().expand(slots, *start.shape).clone())
        bias: Any = base.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().float().expand(slots, -1).clone())

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Each token through its run's weights."""
        weight_KOI = self.weight.transpose(1, 2) if self.transposed else self.weight
        answer = times_own(states, weight_KOI)
        return answer if self.bias is None else answer + own(self.bias, answer)


class StackedNorm(nn.Module):
    """A layer norm with gain and bias of each run's own."""

    def __init__(self, base: nn.LayerNorm, *, slots: int) -> None:
        super().__init__()
        self.shape, self.eps = base.normalized_shape, base.eps
        self.weight = _spread(base.weight, slots)
        self.bias = _spread(base.bias, slots)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Each token normalised, then its run's gain and bias."""
        normed = nn.functional.layer_norm(states, self.shape, None, None, self.eps)
        if self.weight is not None:
            normed = normed * own(self.weight, normed)
        return normed if self.bias is None else normed + own(self.bias, normed)


class StackedRMSNorm(nn.Module):
    """A root-mean-square norm, as Llama's, with a gain of each run's own."""

    def __init__(self, base: Any, *, slots: int) -> None:
        super().__init__()
        self.variance_epsilon = float(base.variance_epsilon)
        self.weight = _spread(base.weight, slots)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Each token scaled in float32, then its run's gain."""
        wide = states.float()
        scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        assert self.weight is not None
        normed = scaled.to(states.dtype)
        return normed * own(self.weight, normed)


def _spread(values: torch.Tensor | None, slots: int) -> nn.Parameter | None:
    return None if values is None else nn.Parameter(values.detach().float().expand(slots, -1).clone())


def stack_live(layers: Sequence[nn.Module], *, slots: int) -> None:
    """Give every run its own weights in `layers`: linear layers and norms are replaced in place.

    Raises
    ------
    TypeError
        A layer holds weights of another kind, which would be shared without notice.
    """
    for layer in layers:
        for parent in list(layer.modules()):
            for name, child in list(parent.named_children()):
                if type(child).__name__ in _BOTH_WIDTHS:
                    setattr(parent, name, StackedLinear(child, slots=slots))
                elif isinstance(child, nn.LayerNorm):
                    setattr(parent, name, StackedNorm(child, slots=slots))
                elif _is_rms_norm(child):
                    setattr(parent, name, StackedRMSNorm(child, slots=slots))
        for module in layer.modules():
            if isinstance(module, (StackedLinear, StackedNorm, StackedRMSNorm)):
                continue
            if next(module.parameters(recurse=False), None) is not None:
                raise TypeError(f"{type(module).__name__} cannot be stacked")


def stackable(model: nn.Module) -> bool:
    """Whether every layer holds weights of such kinds alone as `stack_live` knows."""
    parts = [part for layer in layer_list(model) or [model] for part in layer.modules()]
    return all(
        type(part).__name__ in _BOTH_WIDTHS or isinstance(part, nn.LayerNorm) or _is_rms_norm(part)
        for part in parts
        if next(part.parameters(recurse=False), None) is not None
    )


@torch.no_grad()
def _is_rms_norm(part: nn.Module) -> bool:
    """Whether a part is a norm as Llama's: tried, since others scale by one more than their weight."""
    weight = getattr(part, "weight", None)
    if not hasattr(part, "variance_epsilon") or not isinstance(weight, torch.Tensor) or weight.dim() != 1:
        return False
    states = torch.linspace(-1, 2, len(weight), device=weight.device, dtype=weight.dtype)[None, None]
    return torch.allclose(part(states), StackedRMSNorm(part, slots=1)(states), rtol=1e-5, atol=1e-6)
