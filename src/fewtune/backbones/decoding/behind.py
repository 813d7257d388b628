"""Many answers behind one prompt in one pass: each sees the prompt and itself, and no other answer.

The prompt's keys and values are kept; the answers stand one behind the other, numbered as if each stood there alone,
under a mask that keeps them apart. Whether an architecture takes such a mask is not looked up but tried once: answers
together must give what they give one by one.

Legend: B rows of a batch, T tokens of the prompts, S tokens of the answers, A answers, V tokens of the vocabulary.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch

from fewtune.backbones.language.model import LanguageModel

LOGITS_AT_ONCE = 1 << 25
"""Numbers of logits computed at a time."""
NEAR = 1e-3


@dataclass(frozen=True)
class Read:
    """Prompts that were read, padded on the left."""

    mask_BT: torch.Tensor
    cache: Any
    next_BV: torch.Tensor
    """Log-probabilities of the token behind each."""


def read(model: LanguageModel, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> Read:
    """Run the prompts once."""
    takes = inspect.signature(model.model.forward).parameters
    last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    numbers = {"position_ids": _numbers(mask_BT)} if "position_ids" in takes else {}
    out = model.model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=True, **numbers, **last)
    return Read(mask_BT, out.past_key_values, torch.log_softmax(out.logits[:, -1].float(), dim=-1))


def likelihoods(model: LanguageModel, prompts: Read, answers: Sequence[Sequence[int]]) -> Iterator[torch.Tensor]:
    """[B] summed log-likelihood of each answer's tokens."""
    together = stands_together(model) if any(len(answer) > 1 for answer in answers) else False
    most = max(1, LOGITS_AT_ONCE // (len(prompts.mask_BT) * model.vocabulary)) if together else 1
    for group in groups([len(answer) - 1 for answer in answers], most):
        yield from _behind(model, prompts, [answers[place] for place in group], together=together)


def groups(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places in their order, cut where the sum of lengths would grow over `most`."""
    group: list[int] = []
    for place, length in enumerate(lengths):
        if group and sum(lengths[one] for one in group) + length > most:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def stands_together(model: LanguageModel) -> bool:
    """Whether answers behind one prompt may share a pass; tried once."""
    if model not in _known:
        _known[model] = _tried(model)
    return _known[model]


_known: WeakKeyDictionary[LanguageModel, bool] = WeakKeyDictionary()


@torch.no_grad()
def _tried(model: LanguageModel) -> bool:
    takes = inspect.signature(model.model.forward).parameters
    if "position_ids" not in takes:
        return False
    one, two, three, four = ((7 * place + 3) % model.vocabulary for place in range(4))
    ids_BT = torch.tensor([[one, two, three], [model.pad_id, four, one]], device=model.device)
    mask_BT = torch.tensor([[1, 1, 1], [0, 1, 1]], device=model.device)
    answers = [[two, one, four], [two, three], [four]]
    with contextlib.suppress(Exception):  # whatever it trips over, it takes no such mask
        apart = [_behind(model, read(model, ids_BT, mask_BT), [answer], together=False)[0] for answer in answers]
        found = _behind(model, read(model, ids_BT, mask_BT), answers, together=True)
        return all(torch.allclose(a, b, rtol=NEAR, atol=NEAR) for a, b in zip(found, apart, strict=True))
    return False


def _behind(
    model: LanguageModel, prompts: Read, answers: Sequence[Sequence[int]], *, together: bool
) -> list[torch.Tensor]:
    """[A] × [B]: one pass over all tokens but each answer's last, which predicts nothing."""
    totals = [prompts.next_BV[:, answer[0]].clone() for answer in answers]
    read_S = [(place, depth) for place, answer in enumerate(answers) for depth in range(len(answer) - 1)]
    if not read_S:
        return totals
    rows, device = len(prompts.mask_BT), prompts.mask_BT.device
    ids_S = torch.tensor([answers[place][depth] for place, depth in read_S], device=device)
    next_S = torch.tensor([answers[place][depth + 1] for place, depth in read_S], device=device)
    owner_S = torch.tensor([place for place, _ in read_S], device=device)
    depth_S = torch.tensor([depth for _, depth in read_S], device=device)
    keeps = not _can_crop(prompts.cache)
    out = model.model(
        input_ids=ids_S.expand(rows, -1),
        attention_mask=_mask(model, prompts.mask_BT, owner_S, depth_S, together=together),
        past_key_values=copy.deepcopy(prompts.cache) if keeps else prompts.cache,
        use_cache=True,
        **_placed(model, prompts.mask_BT, depth_S),
    )
    if not keeps:
        prompts.cache.crop(-len(read_S))
    logs_BSV = torch.log_softmax(out.logits.float(), dim=-1)
    nats_BS = logs_BSV.gather(2, next_S.view(1, -1, 1).expand(rows, -1, 1)).squeeze(2)
    for place, total_B in enumerate(totals):
        total_B += nats_BS[:, owner_S == place].sum(dim=1)
    return totals


def _mask(
    model: LanguageModel, mask_BT: torch.Tensor, owner_S: torch.Tensor, depth_S: torch.Tensor, *, together: bool
) -> torch.Tensor:
    """Of one answer the usual [B, T + S]; of several [B, 1, S, T + S], added to scores."""
    rows, size = len(mask_BT), len(owner_S)
    if not together:
        return torch.cat([mask_BT, mask_BT.new_ones(rows, size)], dim=1)
    own_SS = (owner_S[:, None] == owner_S[None]) & (depth_S[:, None] >= depth_S[None])
    prompt_BST = mask_BT.bool()[:, None].expand(rows, size, -1)
    sees_BSX = torch.cat([prompt_BST, own_SS.expand(rows, size, size)], dim=2)
    barred = torch.finfo(model.dtype).min
    return torch.zeros(sees_BSX.shape, dtype=model.dtype, device=mask_BT.device).masked_fill(~sees_BSX, barred)[:, None]


def _placed(model: LanguageModel, mask_BT: torch.Tensor, depth_S: torch.Tensor) -> dict[str, torch.Tensor]:
    """Numbers of the answers' tokens behind each prompt, padding not counted; none where a model counts itself."""
    if "position_ids" not in inspect.signature(model.model.forward).parameters:
        return {}
    return {"position_ids": mask_BT.sum(dim=1, keepdim=True) + depth_S[None]}


def _numbers(mask_BT: torch.Tensor) -> torch.Tensor:
    return (mask_BT.cumsum(dim=1) - 1).clamp_min(0)


def _can_crop(cache: Any) -> bool:
    return hasattr(cache, "crop") and bool(getattr(cache, "is_croppable", True))
