"""Attention of packed texts: each text to itself, texts of like length in one product.

A small fine-tune's texts are short, and what costs is not the products but what stands around them: in tensors of
a few thousand numbers each step of autograd costs as much as the arithmetic. So where texts are short, attention is
one function with a backward pass of its own: gather, three products forward, five back, scatter.

Legend: S tokens in all, N places of all groups, B texts of a group, T tokens of the longest of them, H heads, W width
of a head; Z = B·H.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from fewtune.backbones.layout import Group, Grouping, Layout, current

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
    noisy = module.training and any(layout.attention_dropout(run, dropout) > 0 for run, _, _ in layout.bounds)
    grouping = layout.groups(apart=noisy)
    repeats = query.shape[1] // key.shape[1]
    parts_SHW = [part[0].transpose(0, 1) for part in (query, repeat(key, repeats), repeat(value, repeats))]
    looks = _Looks(causal, sliding_window, scale, [_share(group, layout, dropout, noisy) for group in grouping.groups])
    if noisy or (query.device.type == "cpu" and grouping.longest <= SHORT):
        with torch.autocast(query.device.type, enabled=False):  # it works in float32, whatever it is handed
            answer_SHW = _Attend.apply(*parts_SHW, layout, grouping, looks)  # type: ignore[no-untyped-call]
        return answer_SHW.unsqueeze(0), None
    return _by_torch(parts_SHW, grouping, looks).unsqueeze(0), None


def repeat(kv: torch.Tensor, times: int) -> torch.Tensor:
    """Key or value heads shared by `times` query heads, written out."""
    return kv if times == 1 else kv.repeat_interleave(times, dim=1)


class _Looks:
    """Who looks at whom: what is the same in every group, and the dropout of each group's weights."""

    def __init__(self, causal: bool, window: int | None, scale: float, shares: Sequence[float]) -> None:
        self.causal, self.window, self.scale, self.shares = causal, window, scale, shares


def _share(group: Group, layout: Layout, models_own: float, noisy: bool) -> float:
    return layout.attention_dropout(group.run, models_own) if noisy and group.run is not None else 0.0


class _Attend(torch.autograd.Function):
    """Attention in float32: at these sizes the products cost little, and bf16's are compiled anew for every shape."""

    @staticmethod
    def forward(
        ctx: Any,
        query_SHW: torch.Tensor,
        key_SHW: torch.Tensor,
        value_SHW: torch.Tensor,
        layout: Layout,
        grouping: Grouping,
        looks: _Looks,
    ) -> torch.Tensor:
        ctx.grouping, ctx.looks, ctx.dtype = grouping, looks, query_SHW.dtype
        heads = query_SHW.shape[1]
        kept: list[torch.Tensor | None] = []
        answer_NHW = query_SHW.new_empty(len(grouping.there), *query_SHW.shape[1:])
        parts = zip(*(_gathered(part_SHW, grouping) for part_SHW in (query_SHW, key_SHW, value_SHW)), strict=True)
        for place, (query_ZTW, key_ZTW, value_ZTW) in enumerate(parts):
            group, share = grouping.groups[place], looks.shares[place]
            query_ZTW *= looks.scale
            bias_ZTT = group.bias(causal=looks.causal, window=looks.window, heads=heads)
            key_ZWT = key_ZTW.transpose(1, 2)
            scores_ZTT = (
                torch.bmm(query_ZTW, key_ZWT) if bias_ZTT is None else torch.baddbmm(bias_ZTT, query_ZTW, key_ZWT)
            )
            weights_ZTT = scores_ZTT.softmax(-1)
            factors_ZTT = layout.factors(group.run, share, weights_ZTT) if share > 0 else None
            _put(answer_NHW, grouping.spans[place], torch.bmm(_times(weights_ZTT, factors_ZTT), value_ZTW))
            kept += [query_ZTW, key_ZTW, value_ZTW, weights_ZTT, factors_ZTT]
        ctx.save_for_backward(*kept)
        return answer_NHW.index_select(0, grouping.back)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_SHW: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grouping, kept = ctx.grouping, iter(ctx.saved_tensors)
        grads = [
            grad_SHW.new_empty(len(grouping.there), *grad_SHW.shape[1:], dtype=ctx.dtype) if needed else None
            for needed in ctx.needs_input_grad[:3]
        ]
        for span, grad_ZTW in zip(grouping.spans, _gathered(grad_SHW, grouping, zeros=True), strict=True):
            query_ZTW, key_ZTW, value_ZTW, weights_ZTT, factors_ZTT = (next(kept) for _ in range(5))
            if grads[2] is not None:
                _put(grads[2], span, torch.bmm(_times(weights_ZTT, factors_ZTT).transpose(1, 2), grad_ZTW))
            if grads[0] is None and grads[1] is None:
                continue
            back_ZTT = _times(torch.bmm(grad_ZTW, value_ZTW.transpose(1, 2)), factors_ZTT)
            scores_ZTT = torch._softmax_backward_data(back_ZTT, weights_ZTT, -1, torch.float32)
            if grads[0] is not None:
                _put(grads[0], span, torch.bmm(scores_ZTT, key_ZTW).mul_(ctx.looks.scale))
            if grads[1] is not None:  # the queries kept are scaled already
                _put(grads[1], span, torch.bmm(scores_ZTT.transpose(1, 2), query_ZTW))
        return *(None if grad is None else _scattered(grad, grouping) for grad in grads), None, None, None


def _gathered(part_SHW: torch.Tensor, grouping: Grouping, *, zeros: bool = False) -> Iterator[torch.Tensor]:
    """[Z, T, W] in float32 of each group; beyond a text's end its first token, or zeros when asked."""
    if zeros:
        part_NHW = part_SHW.new_zeros(len(grouping.there), *part_SHW.shape[1:])
        part_NHW.index_copy_(0, grouping.back[: grouping.tokens], part_SHW[: grouping.tokens])
    else:
        part_NHW = part_SHW.index_select(0, grouping.there)
    for start, count, longest in grouping.spans:
        part_BTHW = part_NHW[start : start + count * longest].view(count, longest, *part_NHW.shape[1:])
        part_BHTW = part_BTHW.transpose(1, 2)
        whole = torch.empty(part_BHTW.shape, dtype=torch.float32, device=part_SHW.device)
        yield whole.copy_(part_BHTW).flatten(0, 1)


def _put(all_NHW: torch.Tensor, span: tuple[int, int, int], part_ZTW: torch.Tensor) -> None:
    """Write a group's [Z, T, W] into its places."""
    start, count, longest = span
    places_BTHW = all_NHW[start : start + count * longest].view(count, longest, *all_NHW.shape[1:])
    places_BTHW.copy_(part_ZTW.view(count, -1, *part_ZTW.shape[1:]).transpose(1, 2))


def _scattered(all_NHW: torch.Tensor, grouping: Grouping) -> torch.Tensor:
    """[S, H, W] of each token; zeros for the filling."""
    answer_SHW = all_NHW.index_select(0, grouping.back)
    answer_SHW[grouping.tokens :] = 0
    return answer_SHW


def _times(weights: torch.Tensor, factors: torch.Tensor | None) -> torch.Tensor:
    return weights if factors is None else weights * factors


def _by_torch(parts_SHW: Sequence[torch.Tensor], grouping: Grouping, looks: _Looks) -> torch.Tensor:
    """[S, H, W] by torch's own attention, without dropout."""
    picked = [part_SHW.index_select(0, grouping.there) for part_SHW in parts_SHW]
    answers = []
    for group, (start, count, longest) in zip(grouping.groups, grouping.spans, strict=True):
        parts = [part[start : start + count * longest].view(count, longest, *part.shape[1:]) for part in picked]
        query_BHTW, key_BHTW, value_BHTW = (part.transpose(1, 2) for part in parts)
        answer_BHTW = nn.functional.scaled_dot_product_attention(
            query_BHTW,
            key_BHTW,
            value_BHTW,
            attn_mask=group.seen(causal=looks.causal, window=looks.window),
            scale=looks.scale,
        )
        answers.append(answer_BHTW.transpose(1, 2).flatten(0, 1))
    return torch.cat(answers).index_select(0, grouping.back)
