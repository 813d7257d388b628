"""A model's weights shared out among the processes of a team: each holds a part, and lends it for a layer at a time.

FSDP2 (`fully_shard`) splits every tensor; a layer's are gathered when it is run, and let go when it is done. The
weights of the model as it was opened stay in main memory, untouched: every run begins from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from fewtune.backbones.language.model import LanguageModel
from fewtune.backbones.language.whole import Whole, stacks
from fewtune.backbones.precision import detect
from fewtune.backbones.team import Team

T = TypeVar("T")


def share_out(model: nn.Module, team: Team) -> None:
    """Split the weights of `model`, a private copy, among the team, in place."""
    from peft import PeftModel
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    _own_parameters(model)
    half = detect() == "bf16"
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if half else None, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    options: dict[str, Any] = {"mesh": team.mesh, "mp_policy": policy, "shard_placement_fn": _placement(team.size)}
    inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    for layers in (inner.get_submodule(name) for name in stacks(inner)):
        for layer in layers:
            fully_shard(layer, **options)
    fully_shard(model, **options)


def _own_parameters(model: nn.Module) -> None:
    """Parameters of the copy's own over the same memory: splitting moves them, and the opened model's must stay."""
    made: dict[int, nn.Parameter] = {}
    for part in model.modules():
        for name, old in list(part.named_parameters(recurse=False)):
            if id(old) not in made:
                made[id(old)] = nn.Parameter(old.detach(), requires_grad=old.requires_grad)
            setattr(part, name, made[id(old)])


def _placement(size: int) -> Any:
    from torch.distributed.tensor import Shard

    def placed(parameter: nn.Parameter) -> Any:
        """An adapter's first dimension is its one run: splitting that would leave it all to the first process."""
        split = parameter.ndim == 3 and len(parameter) == 1 and parameter.shape[1] % size == 0
        return Shard(1) if split else None

    return placed


def gathered(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Whole tensors in main memory, from all processes' parts. Every process asks at once."""
    return {name: whole(tensor).cpu() for name, tensor in tensors.items()}


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of which processes hold parts, whole; any other as it is."""
    from torch.distributed.tensor import DTensor

    found: torch.Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return found.detach()


@torch.no_grad()
def put(tensor: torch.Tensor, value: torch.Tensor | None, team: Team) -> None:
    """Set a tensor of which processes hold parts to what the one that leads has."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(tensor, DTensor):
        tensor.copy_(team.copied(torch.empty_like(tensor) if value is None else value.to(tensor.device)))
        return
    like = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) if value is None else value
    full = team.copied(like.to(tensor.device, tensor.dtype).contiguous())
    tensor.copy_(distribute_tensor(full, team.mesh, tensor.placements, src_data_rank=None))


def turns(parts: Sequence[T], team: Team) -> Iterator[tuple[T, bool]]:
    """The parts of this process, and whether each counts: all take as many turns, since weights are lent in step."""
    for start in range(0, len(parts), team.size):
        place = start + team.rank
        yield parts[min(place, len(parts) - 1)], place < len(parts)


_untuned: WeakKeyDictionary[LanguageModel, Whole] = WeakKeyDictionary()


def untuned(language_model: LanguageModel) -> Whole:
    """The model as it was opened, shared out once."""
    if language_model not in _untuned:
        made = Whole(language_model).eval()
        made.share_out()
        _untuned[language_model] = made
    return _untuned[language_model]


def at_work(language_model: LanguageModel) -> LanguageModel:
    """The model in the shape it is run in: of a team, shared out."""
    if language_model.team is None:
        return language_model
    return replace(language_model, model=untuned(language_model).model, _computed={})


def let_go(language_model: LanguageModel) -> None:
    """Give back the memory of the untuned model: a run needs it."""
    _untuned.pop(language_model, None)


__all__ = ["at_work", "gathered", "let_go", "put", "share_out", "turns", "untuned", "whole"]
