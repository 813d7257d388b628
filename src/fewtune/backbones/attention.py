"""Attention of packed texts: each text to itself, texts of like length in one product.

A small fine-tune's texts are short, and what costs is not the products but what stands around them: in tensors of
a few thousand numbers each step of autograd costs as much as the arithmetic. So where texts are short, attention is
one function with a backward pass of its own: gather, three products forward, five back, scatter.

Legend: S tokens in all, N places of all groups, B texts of a group, T tokens of the longest of them, H heads, W width
of a head; Z = B·H.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from fewtune.backbones.layout import Layout, current

SHORT = 128
"""Up to so many tokens a text, attention on a CPU is computed here; beyond, by torch's, which never writes all weights
of a text out at once."""


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each text to itself; query, key and value are [1, H, S, W], the answer is [1, S, H, W]."""
    layout = current()
    assert layout is not None, "packed attention outside of a pack"
    assert query.shape[0] == 1, "a pack is one row"
    causal = bool(getattr(module, "is_causal", False)) if is_causal is None else is_causal
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    plan = Plan(layout, dropout if module.training else 0.0, scale=scale, causal=causal, window=sliding_window)
    repeats = query.shape[1] // key.shape[1]
    parts_SHW = [part[0].transpose(0, 1) for part in (query, repeat(key, repeats), repeat(value, repeats))]
    if plan.noisy or (query.device.type == "cpu" and plan.grouping.longest <= SHORT):
        with torch.autocast(query.device.type, enabled=False):  # it works in float32, whatever it is handed
            answer_SHW = _Attend.apply(*parts_SHW, plan)  # type: ignore[no-untyped-call]
        return answer_SHW.unsqueeze(0), None
    return _by_torch(parts_SHW, plan).unsqueeze(0), None


def repeat(kv: torch.Tensor, times: int) -> torch.Tensor:
    """Key or value heads shared by `times` query heads, written out."""
    return kv if times == 1 else kv.repeat_interleave(times, dim=1)


class Plan:
    """Who looks at whom in a pack, and with what dropout.

    Parameters
    ----------
    dropout : the model's own for attention weights, which a run may overrule; 0 outside of training.
    window : tokens a place sees to either side, itself among them; None for all.
    """

    def __init__(
        self, layout: Layout, dropout: float, *, scale: float, causal: bool = False, window: int | None = None
    ) -> None:
        self.layout, self.scale, self.causal, self.window = layout, scale, causal, window
        shares = {run: layout.attention_dropout(run, dropout) for run, _, _ in layout.bounds}
        self.noisy = dropout > 0 and any(shares.values())
        # On a CPU in any case: whose texts share a product then changes no bit of a run.
        self.grouping = layout.groups(apart=self.noisy or layout.device.type == "cpu")
        self.shares = [shares[group.run] if self.noisy and group.run is not None else 0.0 for group in self.grouping]


class _Attend(torch.autograd.Function):
    """Attention of short texts, in float32: bf16's small products are compiled anew for every shape."""

    @staticmethod
    def forward(
        ctx: Any, query_SHW: torch.Tensor, key_SHW: torch.Tensor, value_SHW: torch.Tensor, plan: Plan
    ) -> torch.Tensor:
        answer_SHW, kept = attend(torch.stack([query_SHW, key_SHW, value_SHW], dim=1), plan)
        ctx.save_for_backward(*kept)
        ctx.plan = plan
        return answer_SHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_SHW: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_S3HW = attend_back(grad_SHW, ctx.saved_tensors, ctx.plan)
        needed = ctx.needs_input_grad[:3]
        return *(grad if asked else None for grad, asked in zip(grad_S3HW.unbind(1), needed, strict=True)), None


Kept = list[torch.Tensor | None]


def attend(all_S3HW: torch.Tensor, plan: Plan) -> tuple[torch.Tensor, Kept]:
    """[S, H, W] answers to queries, keys and values, and what `attend_back` needs, five tensors a group."""
    grouping = plan.grouping
    kept: Kept = []
    all_N3HW = all_S3HW.index_select(0, grouping.there)
    answer_NHW = torch.empty_like(all_N3HW[:, 0], memory_format=torch.contiguous_format)
    for group, span, share in zip(grouping, grouping.spans, plan.shares, strict=True):
        query_ZTW, key_ZTW, value_ZTW = _heads_first(all_N3HW, span)
        query_ZTW *= plan.scale
        bias_ZTT = group.bias(causal=plan.causal, window=plan.window, heads=all_S3HW.shape[2])
        key_ZWT = key_ZTW.transpose(1, 2)
        scores_ZTT = torch.bmm(query_ZTW, key_ZWT) if bias_ZTT is None else torch.baddbmm(bias_ZTT, query_ZTW, key_ZWT)
        weights_ZTT = scores_ZTT.softmax(-1)
        factors_ZTT = plan.layout.factors(group.run, share, weights_ZTT) if share > 0 else None
        answer_ZTW = torch.bmm(_times(weights_ZTT, factors_ZTT), value_ZTW)
        _at(answer_NHW, span).copy_(answer_ZTW.view(span[1], -1, *answer_ZTW.shape[1:]).transpose(1, 2))
        kept += [query_ZTW, key_ZTW, value_ZTW, weights_ZTT, factors_ZTT]
    return answer_NHW.index_select(0, grouping.back), kept


def attend_back(
    grad_SHW: torch.Tensor, kept: Sequence[torch.Tensor | None], plan: Plan, *, keys: bool = True
) -> torch.Tensor:
    """[S, 3, H, W] gradients of queries, keys and values; zeros for the filling, and for keys not asked for."""
    grouping = plan.grouping
    grad_NHW = grad_SHW.new_zeros(len(grouping.there), *grad_SHW.shape[1:])  # places beyond a text's end have none
    grad_NHW.index_copy_(0, grouping.back[: grouping.tokens], grad_SHW[: grouping.tokens])
    grad_N3HW = grad_NHW.new_empty(len(grad_NHW), 3, *grad_NHW.shape[1:])
    parts = iter(kept)
    for span in grouping.spans:
        query_ZTW, key_ZTW, value_ZTW, weights_ZTT = (there(next(parts)) for _ in range(4))
        factors_ZTT = next(parts)
        (grad_ZTW,) = _heads_first(grad_NHW.unsqueeze(1), span)
        grads_3ZTW = torch.empty((3, *query_ZTW.shape), device=query_ZTW.device)
        torch.bmm(_times(weights_ZTT, factors_ZTT).transpose(1, 2), grad_ZTW, out=grads_3ZTW[2])
        back_ZTT = _times(torch.bmm(grad_ZTW, value_ZTW.transpose(1, 2)), factors_ZTT)
        scores_ZTT = torch._softmax_backward_data(back_ZTT, weights_ZTT, -1, torch.float32)
        torch.bmm(scores_ZTT, key_ZTW, out=grads_3ZTW[0]).mul_(plan.scale)
        if keys:
            torch.bmm(scores_ZTT.transpose(1, 2), query_ZTW, out=grads_3ZTW[1])  # the queries kept are scaled already
        else:
            grads_3ZTW[1] = 0
        by_text = grads_3ZTW.view(3, span[1], -1, *grads_3ZTW.shape[2:])
        _at(grad_N3HW, span).copy_(by_text.permute(1, 3, 0, 2, 4))
    grad_S3HW = grad_N3HW.index_select(0, grouping.back)
    grad_S3HW[grouping.tokens :] = 0
    return grad_S3HW


def _heads_first(all_NCHW: torch.Tensor, span: tuple[int, int, int]) -> Sequence[torch.Tensor]:
    """[Z, T, W] in float32 of each of the C parts of a group."""
    by_head = _at(all_NCHW, span).permute(2, 0, 3, 1, 4)
    whole = torch.empty(by_head.shape, dtype=torch.float32, device=by_head.device).copy_(by_head)
    return whole.flatten(1, 2).unbind()


def _at(all_N: torch.Tensor, span: tuple[int, int, int]) -> torch.Tensor:
    """[B, T, …] the places of a group."""
    start, count, longest = span
    return all_N[start : start + count * longest].view(count, longest, *all_N.shape[1:])


def there(tensor: torch.Tensor | None) -> torch.Tensor:
    """Of what was kept for the way back, a tensor that is always there."""
    assert tensor is not None
    return tensor


def _times(weights: torch.Tensor, factors: torch.Tensor | None) -> torch.Tensor:
    return weights if factors is None else weights * factors


def _by_torch(parts_SHW: Sequence[torch.Tensor], plan: Plan) -> torch.Tensor:
    """[S, H, W] by torch's own attention, without dropout."""
    grouping = plan.grouping
    picked = [part_SHW.index_select(0, grouping.there) for part_SHW in parts_SHW]
    answers = []
    for group, span in zip(grouping, grouping.spans, strict=True):
        query_BHTW, key_BHTW, value_BHTW = (_at(part, span).transpose(1, 2) for part in picked)
        answer_BHTW = nn.functional.scaled_dot_product_attention(
            query_BHTW,
            key_BHTW,
            value_BHTW,
            attn_mask=group.seen(causal=plan.causal, window=plan.window),
            scale=plan.scale,
        )
        answers.append(answer_BHTW.transpose(1, 2).flatten(0, 1))
    return torch.cat(answers).index_select(0, grouping.back)
