"""AdamW with clipping: of one run in few calls, and of many runs at once.

For many, every run's weights are one row of a flat buffer, `[K, P]`. On a GPU a handful of elementwise calls update all
runs, each with its own rate, weight decay, clipping and step count. On a CPU, where calls are cheap, each run's row is
updated by the very kernels that update a run alone, so that the two agree to the last bit. What is computed is
`clip_grad_norm_` and `torch.optim.AdamW` with bias correction (Loshchilov and Hutter 2019), and tests hold all ways to
them.

Legend: K runs there is room for, P weights of one run, G parameter groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

BETAS = (0.9, 0.999)
EPS = 1e-8


@torch.no_grad()
def update(optimiser: torch.optim.Optimizer, clip_norm: float) -> None:
    """Clip all gradients of a fused AdamW to `clip_norm` in all, then take its step.

    Moments stay where torch keeps them. Left out is torch's bookkeeping around them, which for a few small tensors
    takes longer than the arithmetic.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    if not parameters or not _plain(parameters, optimiser):
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimiser.step()
        return
    _clip([parameter.grad for parameter in parameters], clip_norm)
    for group in optimiser.param_groups:
        moving = [parameter for parameter in group["params"] if parameter.grad is not None]
        states = [optimiser.state[parameter] for parameter in moving]
        means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
        torch._foreach_add_(steps, 1)
        state = (moving, [parameter.grad for parameter in moving], means, squares, steps)
        _adamw(state, lr=group["lr"], betas=group["betas"], weight_decay=group["weight_decay"], eps=group["eps"])


def forget_gradients(optimiser: torch.optim.Optimizer) -> None:
    """What `zero_grad` does, without its hooks: they cost as much as the update of a few small tensors."""
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def _clip(grads: list[Any], clip_norm: float) -> None:
    """Scale gradients to a norm of `clip_norm` in all where it is larger."""
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
    torch._foreach_mul_(grads, (clip_norm / (norm + 1e-6)).clamp_(max=1.0))


def _adamw(
    state: Sequence[list[Any]],
    *,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = BETAS,
    eps: float = EPS,
) -> None:
    """A step of some tensors: of weights, gradients, means, squares, and steps, which are counted already."""
    weights, grads, means, squares, steps = state
    options: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "eps": eps, "amsgrad": False, "maximize": False}
    torch._fused_adamw_(weights, grads, means, squares, [], steps, beta1=betas[0], beta2=betas[1], **options)


def _plain(parameters: Sequence[torch.Tensor], optimiser: torch.optim.Optimizer) -> bool:
    """Whether all gradients are ordinary tensors in one place, and have had a step that made their moments."""
    kinds = {(type(p.grad), p.device, p.dtype) for p in parameters}
    return len(kinds) == 1 and kinds.pop()[0] is torch.Tensor and all(p in optimiser.state for p in parameters)


@dataclass(frozen=True)
class _Span:
    """The columns of one parameter group."""

    start: int
    end: int


class StackedAdamW:
    """Owns the memory of the tensors it is given: they become views of one flat buffer.

    Parameters
    ----------
    groups : tensors of shape [K, …], in groups; a run states a rate and a decay for each group.
    apart : update each run by itself, as a run alone; on a CPU when not given.
    """

    def __init__(self, groups: Sequence[Sequence[torch.Tensor]], *, apart: bool | None = None) -> None:
        self.tensors = [tensor for group in groups for tensor in group]
        self.places = [range(sum(map(len, groups[:n])), sum(map(len, groups[: n + 1]))) for n in range(len(groups))]
        first = self.tensors[0]
        self.apart = first.device.type == "cpu" if apart is None else apart
        self.stated: dict[int, list[tuple[float, float]]] = {}
        self.slots = first.shape[0]
        sizes = [[tensor[0].numel() for tensor in group] for group in groups]
        total = sum(map(sum, sizes))
        self.weights_KP = torch.empty(self.slots, total, device=first.device)
        self.means_KP, self.squares_KP = torch.zeros_like(self.weights_KP), torch.zeros_like(self.weights_KP)
        self.spans: list[_Span] = []
        start = 0
        for group, numbers in zip(groups, sizes, strict=True):
            begin = start
            for tensor, size in zip(group, numbers, strict=True):
                self._adopt(tensor, start, size)
                start += size
            self.spans.append(_Span(begin, start))
        self.steps_K = torch.zeros(self.slots, device=first.device)
        self.peaks_KG = torch.zeros(self.slots, len(groups), device=first.device)
        self.decays_KG = torch.zeros_like(self.peaks_KG)

    @torch.no_grad()
    def _adopt(self, tensor: torch.Tensor, start: int, size: int) -> None:
        mine = self.weights_KP[:, start : start + size].view(tensor.shape)
        mine.copy_(tensor)
        tensor.data = mine

    def enter(self, slot: int, groups: Sequence[Mapping[str, Any]]) -> None:
        """Begin a run: no memory of whoever was in the slot."""
        for buffer in (self.means_KP, self.squares_KP):
            buffer[slot] = 0
        self.steps_K[slot] = 0
        self.stated[slot] = [(float(group["lr"]), float(group["weight_decay"])) for group in groups]
        self.peaks_KG[slot] = torch.tensor([float(group["lr"]) for group in groups])
        self.decays_KG[slot] = torch.tensor([float(group["weight_decay"]) for group in groups])

    @torch.no_grad()
    def step(self, grads: Sequence[torch.Tensor], factors: Mapping[int, float], clips: Mapping[int, float]) -> None:
        """Update the runs in `factors`.

        Parameters
        ----------
        grads : of `tensors`, one each.
        factors : slot → the share of the peak rate.
        clips : slot → the largest norm of a run's gradient; a larger one is scaled down.
        """
        if self.apart:
            for slot, factor in factors.items():
                self._step_one(slot, [grad[slot] for grad in grads], factor, clips[slot])
            return
        grads_KP = torch.cat([grad.reshape(self.slots, -1) for grad in grads], dim=1)
        device = self.weights_KP.device
        active = [slot in factors for slot in range(self.slots)]
        factor_K = torch.tensor([factors.get(slot, 0.0) for slot in range(self.slots)], device=device)
        clip_K = torch.tensor([clips.get(slot, 1.0) for slot in range(self.slots)], device=device)
        self.steps_K += torch.tensor(active, device=device)
        norm_K = torch.linalg.vector_norm(grads_KP, dim=1)
        grads_KP *= (clip_K / (norm_K + 1e-6)).clamp(max=1.0).unsqueeze(1)
        self.means_KP.lerp_(grads_KP, 1 - BETAS[0])
        self.squares_KP.mul_(BETAS[1]).addcmul_(grads_KP, grads_KP, value=1 - BETAS[1])
        steps_K = self.steps_K.clamp(min=1)
        mean_bias_K1 = (1 - BETAS[0] ** steps_K).unsqueeze(1)
        square_bias_K1 = (1 - BETAS[1] ** steps_K).sqrt().unsqueeze(1)
        for number, span in enumerate(self.spans):
            # A run that takes no step has rate 0, and so stays where it is.
            rate_K1 = (self.peaks_KG[:, number] * factor_K).unsqueeze(1)
            weights = self.weights_KP[:, span.start : span.end]
            weights.mul_(1 - rate_K1 * self.decays_KG[:, number].unsqueeze(1))
            size = (self.squares_KP[:, span.start : span.end].sqrt() / square_bias_K1).add_(EPS)
            weights.sub_(self.means_KP[:, span.start : span.end] * (rate_K1 / mean_bias_K1) / size)

    def _step_one(self, slot: int, grads: list[torch.Tensor], factor: float, clip_norm: float) -> None:
        """One run's step, tensor by tensor as `update` takes it."""
        _clip(grads, clip_norm)
        self.steps_K[slot] += 1
        sizes = [grad.numel() for grad in grads]
        rows = (torch.split(buffer[slot], sizes) for buffer in (self.weights_KP, self.means_KP, self.squares_KP))
        weights, means, squares = rows
        for places, (peak, decay) in zip(self.places, self.stated[slot], strict=True):
            own = [[part[n] for n in places] for part in (weights, [g.flatten() for g in grads], means, squares)]
            _adamw([*own, [self.steps_K[slot]] * len(places)], lr=peak * factor, weight_decay=decay)
