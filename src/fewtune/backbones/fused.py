"""A transformer layer of BERT's shape as one function with a backward pass of its own, on a CPU.

A layer as transformers has it, with adapters, dropout and autocast around it, is some two hundred small operations
forward and as many back. On a few hundred tokens what binds is then Python, the allocator and copies between formats,
not the products (`LAB.md`). Written out, with queries, keys and values in one product, it is a few dozen.

A layer is known by its parts' names (BERT's, which RoBERTa, XLM-R, ELECTRA, CamemBERT and MiniLM share), and taken over
only when, tried on a small pack, it gives what the layer's own code gives.

Legend: S tokens of the pack, D width, H heads, W width of a head, O and I widths out and in of a product, R rank.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from fewtune.backbones.attention import SHORT, Kept, Plan, attend, attend_back, there
from fewtune.backbones.dropout import RunDropout
from fewtune.backbones.layout import Layout, current, laid_out
from fewtune.backbones.precision import compute_precision, detect
from fewtune.backbones.stacked import StackedLoRA

Grads = list[torch.Tensor]


def fuse(layers: Sequence[Any]) -> int:
    """Take over those of `layers` that can be; how many that is.

    To be called when adapters and dropout are in place.
    """
    return sum(_fuse(layer) for layer in layers)


def _fuse(layer: Any) -> bool:
    with contextlib.suppress(AttributeError, TypeError):  # whatever it lacks, it is no such layer
        fused = FusedLayer(layer)
        if fused.agrees(layer):
            layer.forward = fused
            return True
    return False


class FusedLayer:
    """Stands in for the `forward` of a layer.

    Raises
    ------
    AttributeError, TypeError
        The layer has not the parts of BERT's.
    """

    def __init__(self, layer: Any) -> None:
        if getattr(layer, "is_decoder", False) or getattr(layer, "chunk_size_feed_forward", 0):
            raise TypeError("a decoder, or cut into chunks")
        activation = layer.intermediate.intermediate_act_fn
        if type(activation).__name__ != "GELUActivation" and getattr(activation, "approximate", "") != "none":
            raise TypeError("another activation")
        self.own_forward = layer.forward
        looks = layer.attention.self
        self.heads, self.scale, self.attention_dropout = looks.num_attention_heads, looks.scaling, looks.dropout
        self.looks = _Product([looks.query, looks.key, looks.value])
        self.answer = _Product([layer.attention.output.dense])
        self.middle = _Product([layer.intermediate.dense])
        self.out = _Product([layer.output.dense])
        self.norms = [_Norm(part.LayerNorm) for part in (layer.attention.output, layer.output)]
        self.dropouts: list[RunDropout] = [layer.attention.output.dropout, layer.output.dropout]
        if not all(isinstance(part, RunDropout) for part in (*self.dropouts, self.attention_dropout)):
            raise TypeError("dropout that is not a run's own")
        self.tensors = [tensor for product in self.products for tensor in product.tensors]
        self.tensors += [tensor for norm in self.norms for tensor in norm.tensors]

    @property
    def products(self) -> tuple[_Product, ...]:
        """All products, in the order of the way forward."""
        return self.looks, self.answer, self.middle, self.out

    def __call__(
        self, hidden_states: torch.Tensor, *args: Any, looks_SO: torch.Tensor | None = None, **kwargs: Any
    ) -> Any:
        """`hidden_states` [1, S, D] through the layer; `looks_SO`, where they are known, what `multiply` gives."""
        layout = current()
        if layout is None or hidden_states.device.type != "cpu":
            return self.own_forward(hidden_states, *args, **kwargs)
        looks = self.attention_dropout
        plan = Plan(layout, looks.p if looks.training else 0.0, scale=self.scale)
        if plan.grouping.longest > SHORT and not plan.noisy:
            return self.own_forward(hidden_states, *args, **kwargs)
        dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        if looks_SO is not None and looks_SO.dtype != dtype:
            looks_SO = None
        with torch.autocast("cpu", enabled=False):  # what is cast, is cast below
            final_SD = _Layer.apply(hidden_states[0], self, plan, dtype, looks_SO, *self.tensors)  # type: ignore[no-untyped-call]
        return final_SD.unsqueeze(0)

    @property
    def multiplies_alone(self) -> bool:
        """Whether the weights of queries, keys and values are frozen: adapters may be added to what they give."""
        return not self.looks.moves

    def multiply(self, states_SD: torch.Tensor) -> torch.Tensor:
        """[S, 3D] queries, keys and values of frozen weights, adapters left aside."""
        weight_OD, bias_O = self.looks.weights(0, states_SD.dtype)
        return torch.addmm(bias_O, states_SD, weight_OD.T)

    @torch.no_grad()
    def agrees(self, layer: nn.Module) -> bool:
        """Whether it gives what the layer's own code gives, without noise, on two texts packed."""
        states_1SD = torch.linspace(-1, 1, 10 * self.looks.width).sin().view(1, 10, -1)
        modes = [(part, part.training) for part in layer.modules()]
        layer.eval()
        with laid_out(Layout([3, 7])), compute_precision():
            own, mine = self.own_forward(states_1SD), self(states_1SD)
        for part, training in modes:
            part.training = training
        if not isinstance(own, torch.Tensor):
            return False
        apart = 0.05 if detect() == "bf16" else 1e-3
        return float((own - mine).abs().max()) < apart * float(own.abs().max())


class _Product:
    """Linear layers that share their input, as one product; each may carry adapters, or weights of each run's own."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self.adapters = [module if isinstance(module, StackedLoRA) else None for module in modules]
        self.layers: list[Any] = [module.base if isinstance(module, StackedLoRA) else module for module in modules]
        if any(type(layer).__name__ not in ("Linear", "StackedLinear") for layer in self.layers):
            raise TypeError("no linear layer")
        self.sizes: list[int] = [layer.weight.shape[-2] for layer in self.layers]
        self.width: int = self.layers[0].weight.shape[-1]
        self.moves = any(layer.weight.requires_grad for layer in self.layers)
        bodies = [tensor for layer in self.layers for tensor in (layer.weight, layer.bias)] if self.moves else []
        ends = itertools.accumulate(self.sizes)
        self.adapted = [
            (adapter, slice(end - size, end))
            for adapter, size, end in zip(self.adapters, self.sizes, ends, strict=True)
            if adapter is not None
        ]
        """Each adapter, and its columns of the answer."""
        factors = [tensor for adapter, _ in self.adapted for tensor in (adapter.lora_A, adapter.lora_B)]
        self.tensors: list[torch.Tensor] = [*bodies, *factors]
        self._frozen: dict[torch.dtype, tuple[torch.Tensor, torch.Tensor]] = {}

    def tuned(self, place: int) -> bool:
        """Whether anything of the layer at `place` moves."""
        return self.moves or self.adapters[place] is not None

    def weights(self, run: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """[O, I] and [O] of all layers, one below the other; made once when nothing of them moves."""
        if dtype in self._frozen:
            return self._frozen[dtype]
        weight_OI = torch.cat([_of(run, layer.weight, 2).detach().to(dtype) for layer in self.layers])
        bias_O = torch.cat([_of(run, layer.bias, 1).detach().to(dtype) for layer in self.layers])
        if not self.moves:
            self._frozen[dtype] = weight_OI, bias_O
        return weight_OI, bias_O

    def forward(
        self, states_SI: torch.Tensor, layout: Layout, *, frozen_SO: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Kept]:
        """[S, O], and what `backward` needs; `frozen_SO`, where it is known, what frozen weights give: written in."""
        kept: Kept = [states_SI]
        answer_SO = states_SI.new_empty(len(states_SI), sum(self.sizes)) if frozen_SO is None else frozen_SO
        for run, tokens in _shares(self.moves, layout):
            weight_OI, bias_O = self.weights(run, states_SI.dtype)
            if frozen_SO is None:
                torch.addmm(bias_O, states_SI[tokens], weight_OI.T, out=answer_SO[tokens])
            kept.append(weight_OI)
        if self.adapted:
            kept += _adapt(self.adapted, states_SI, answer_SO, layout)
        return answer_SO, kept

    def backward(
        self, grad_SO: torch.Tensor, kept: Iterator[torch.Tensor | None], layout: Layout, *, further: bool = True
    ) -> tuple[torch.Tensor | None, Grads]:
        """[S, I] gradient of the states, when it goes `further`, and those of `tensors`."""
        states_SI = there(next(kept))
        grad_SI = torch.empty_like(states_SI) if further else None
        grads = [torch.zeros_like(tensor) for tensor in self.tensors]
        for run, tokens in _shares(self.moves, layout):
            weight_OI = there(next(kept))
            if grad_SI is not None:
                torch.mm(grad_SO[tokens], weight_OI, out=grad_SI[tokens])
            if self.moves:
                self._weights_back(run, grad_SO[tokens], states_SI[tokens], grads)
        if self.adapted:
            _adapt_back(self.adapted, grad_SO, grad_SI, grads[-2 * len(self.adapted) :], kept, layout)
        return grad_SI, grads

    def _weights_back(self, run: int, grad_SO: torch.Tensor, states_SI: torch.Tensor, grads: Grads) -> None:
        weights = torch.split(grad_SO.T @ states_SI, self.sizes)
        biases = torch.split(grad_SO.sum(0, dtype=torch.float32), self.sizes)
        for place, pair in enumerate(zip(weights, biases, strict=True)):
            for grad, found, axes in zip(grads[2 * place :], pair, (2, 1), strict=False):
                _of(run, grad, axes).copy_(found)


def _shares(moves: bool, layout: Layout) -> list[tuple[int, slice]]:
    """Whose weights which tokens meet: all the same when they are frozen."""
    return layout.shares if moves else [(0, slice(0, layout.tokens))]


def _of(run: int, tensor: torch.Tensor, axes: int) -> torch.Tensor:
    """A run's slice where each has its own."""
    return tensor[run] if tensor.dim() > axes else tensor


Adapted = Sequence[tuple[StackedLoRA, slice]]


def _factors(adapted: Adapted, run: int, wide: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Down [R, I] and up [R, O] of all adapters of a run: a block each in R, its own columns in O, zeros elsewhere."""
    ranks = [adapter.lora_A.shape[1] for adapter, _ in adapted]
    first = adapted[0][0].lora_A
    down_RI = first.new_empty((sum(ranks), first.shape[2]), dtype=dtype)
    up_RO = first.new_zeros((sum(ranks), wide), dtype=dtype)
    parts = zip(adapted, torch.split(down_RI, ranks), torch.split(up_RO, ranks), strict=True)
    for (adapter, columns), down, up in parts:
        down.copy_(adapter.lora_A[run])
        up[:, columns].copy_(adapter.lora_B[run].T)
    return down_RI, up_RO


def _adapt(adapted: Adapted, states_SI: torch.Tensor, answer_SO: torch.Tensor, layout: Layout) -> Kept:
    """Add scaling · B A x of each run. For the way back: factors of dropout, states after it, three tensors a run.

    Adapters of one input share its dropout and scaling: one product down and one up for all of them.
    """
    leader = adapted[0][0]
    factors, dropped_SI = _dropped(states_SI, leader.dropout, layout)
    kept: Kept = [factors, dropped_SI]
    for run, tokens in layout.shares:
        down_RI, up_RO = _factors(adapted, run, answer_SO.shape[1], states_SI.dtype)
        low_SR = dropped_SI[tokens] @ down_RI.T
        answer_SO[tokens].addmm_(low_SR, up_RO, alpha=leader.scaling_K[run])
        kept += [low_SR, down_RI, up_RO]
    return kept


def _adapt_back(
    adapted: Adapted,
    grad_SO: torch.Tensor,
    grad_SI: torch.Tensor | None,
    grads: Grads,
    kept: Iterator[torch.Tensor | None],
    layout: Layout,
) -> None:
    """Write the gradients of each A and B, and add that of the states where it is asked for."""
    ranks = [adapter.lora_A.shape[1] for adapter, _ in adapted]
    factors, dropped_SI = next(kept), there(next(kept))
    for run, tokens in layout.shares:
        low_SR, down_RI, up_RO = (there(next(kept)) for _ in range(3))
        scaling = adapted[0][0].scaling_K[run]
        back_SR = (grad_SO[tokens] @ up_RO.T).mul_(scaling)
        downs = torch.split(back_SR.T @ dropped_SI[tokens], ranks)
        ups = torch.split(low_SR.mul(scaling).T @ grad_SO[tokens], ranks)
        for place, (_, columns) in enumerate(adapted):
            grads[2 * place][run] = downs[place]
            grads[2 * place + 1][run] = ups[place][:, columns].T
        if grad_SI is None:
            continue
        if factors is None:
            grad_SI[tokens].addmm_(back_SR, down_RI)
        else:
            grad_SI[tokens].addcmul_(back_SR @ down_RI, factors[tokens])


class _Norm:
    """A layer norm, with gain and bias of each run's own where they move."""

    def __init__(self, norm: Any) -> None:
        self.norm, self.shape = norm, list(norm.normalized_shape if isinstance(norm, nn.LayerNorm) else norm.shape)
        self.moves = bool(norm.weight.requires_grad)
        self.tensors: list[torch.Tensor] = [norm.weight, norm.bias] if self.moves else []

    def forward(self, sum_SD: torch.Tensor, layout: Layout) -> tuple[torch.Tensor, Kept]:
        """[S, D], and what `backward` needs."""
        answers = []
        kept: Kept = []
        for run, tokens in _shares(self.moves, layout):
            gain_D, bias_D = (_of(run, tensor, 1) for tensor in (self.norm.weight, self.norm.bias))
            answer, mean, scale = torch.native_layer_norm(sum_SD[tokens], self.shape, gain_D, bias_D, self.norm.eps)
            answers.append(answer)
            kept += [sum_SD[tokens], mean, scale]
        return answers[0] if len(answers) == 1 else torch.cat(answers), kept

    def backward(
        self, grad_SD: torch.Tensor, kept: Iterator[torch.Tensor | None], layout: Layout
    ) -> tuple[torch.Tensor, Grads]:
        """[S, D] gradient of the sum, and those of `tensors`."""
        backs = []
        grads = [torch.zeros_like(tensor) for tensor in self.tensors]
        for run, tokens in _shares(self.moves, layout):
            gain_D, bias_D = (_of(run, tensor, 1) for tensor in (self.norm.weight, self.norm.bias))
            sums, mean, scale = (there(next(kept)) for _ in range(3))
            back, *found = torch.ops.aten.native_layer_norm_backward(
                grad_SD[tokens], sums, self.shape, mean, scale, gain_D, bias_D, [True, self.moves, self.moves]
            )
            backs.append(back)
            for grad, own in zip(grads, found, strict=False):
                _of(run, grad, 1).copy_(own)
        return backs[0] if len(backs) == 1 else torch.cat(backs), grads


class _Layer(torch.autograd.Function):
    """Forward and back, in the order in which a reader of the layer's own code would go."""

    @staticmethod
    def forward(
        ctx: Any,
        states_SD: torch.Tensor,
        layer: FusedLayer,
        plan: Plan,
        dtype: torch.dtype,
        frozen_SO: torch.Tensor | None,
        *_: torch.Tensor,
    ) -> torch.Tensor:
        layout = plan.layout
        looks_SO, of_looks = layer.looks.forward(states_SD.to(dtype), layout, frozen_SO=frozen_SO)
        seen_SHW, of_seen = attend(looks_SO.view(len(looks_SO), 3, layer.heads, -1), plan)
        answer_SD, of_answer = layer.answer.forward(seen_SHW.flatten(1), layout)
        factors, dropped_SD = _dropped(answer_SD, layer.dropouts[0], layout)
        middle_SD, of_norm = layer.norms[0].forward(states_SD + dropped_SD, layout)
        wide_SI, of_wide = layer.middle.forward(middle_SD.to(dtype), layout)
        out_SD, of_out = layer.out.forward(nn.functional.gelu(wide_SI), layout)
        last_factors, dropped_SD = _dropped(out_SD, layer.dropouts[1], layout)
        final_SD, of_last = layer.norms[1].forward(middle_SD + dropped_SD, layout)
        ctx.layer, ctx.plan, ctx.dtype, ctx.residual, ctx.looks = layer, plan, dtype, states_SD.dtype, len(of_seen)
        # In the order in which the way back asks for them.
        middle = [last_factors, *of_out, wide_SI, *of_wide, *of_norm, factors, *of_answer]
        ctx.save_for_backward(*of_last, *middle, *of_seen, *of_looks)
        return final_SD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_SD: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        layer, layout, dtype = ctx.layer, ctx.plan.layout, ctx.dtype
        kept = iter(ctx.saved_tensors)
        last_SD, of_last = layer.norms[1].backward(grad_SD, kept, layout)
        out_SD, of_out = layer.out.backward(_times(last_SD, next(kept), dtype), kept, layout)
        wide_SI = torch.ops.aten.gelu_backward(out_SD, there(next(kept)))
        middle_SD, of_wide = layer.middle.backward(wide_SI, kept, layout)
        sum_SD, of_norm = layer.norms[0].backward(last_SD + middle_SD, kept, layout)
        seen_SD, of_answer = layer.answer.backward(_times(sum_SD, next(kept), dtype), kept, layout)
        of_seen = list(itertools.islice(kept, ctx.looks))
        further = ctx.needs_input_grad[0]
        keys = further or layer.looks.tuned(1)
        looks_S3HW = attend_back(seen_SD.view(len(seen_SD), layer.heads, -1), of_seen, ctx.plan, keys=keys)
        states_SD, of_looks = layer.looks.backward(looks_S3HW.flatten(1), kept, layout, further=further)
        back_SD = (sum_SD + states_SD).to(ctx.residual) if further else None
        return back_SD, None, None, None, None, *of_looks, *of_answer, *of_wide, *of_out, *of_norm, *of_last


def _dropped(states_SD: torch.Tensor, dropout: RunDropout, layout: Layout) -> tuple[torch.Tensor | None, torch.Tensor]:
    """What each number is multiplied with, and the states after it; the filling stays as it is."""
    if not dropout.training or not any(dropout.share_K):
        return None, states_SD
    factors_SD = torch.ones_like(states_SD)
    for run, start, end in layout.bounds:
        if dropout.share_K[run]:
            factors_SD[start:end] = layout.factors(run, dropout.share_K[run], states_SD[start:end])
    return factors_SD, states_SD * factors_SD


def _times(grad_SD: torch.Tensor, factors: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    """The gradient before dropout, in the format of products."""
    return grad_SD.to(dtype) if factors is None else grad_SD.to(dtype) * factors
