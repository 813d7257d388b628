"""A whole model that writes, padded: for seq2seq, and for causal models that cannot be packed.

A private copy shares every tensor that does not move. Adapters are `StackedLoRA` with a single slot; dropout is
torch's own, whose stream belongs to the run (`tune/loop.py`).

Legend: B rows of a batch, T tokens, V vocabulary.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from fewtune.backbones import batches
from fewtune.backbones.layers import sharing_copy
from fewtune.backbones.precision import compute_precision

if TYPE_CHECKING:
    from fewtune.backbones.language.encode import Encoded
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.backbones.team import Team

TOKENS_AT_ONCE = 2048
"""Padding included, that many tokens are run at a time."""


class Whole(nn.Module):
    """A copy of a model, of which `live` modules (by name) can be trained."""

    def __init__(self, language_model: LanguageModel, live: Sequence[str] = ()) -> None:
        super().__init__()
        self.language_model = language_model
        model = language_model.model
        mine = {id(p) for name in live for p in model.get_submodule(name).parameters()}
        mine -= {id(p) for p in embeddings(model)}
        self.model: Any = sharing_copy(model, {id(p): p for p in model.parameters() if id(p) not in mine})
        for name in live:
            for parameter in self.model.get_submodule(name).parameters():
                parameter.data = parameter.data.float()  # what moves by small steps is not rounded to half precision
                parameter.requires_grad_(True)
        for parameter in embeddings(self.model):  # they are shared: they stay as they are
            parameter.requires_grad_(False)

    @property
    def moving(self) -> dict[str, nn.Parameter]:
        """The trainable tensors by name."""
        return {name: tensor for name, tensor in self.model.named_parameters() if tensor.requires_grad}

    def share_out(self) -> None:
        """Split the weights among the team's processes; to be called once, when all that moves is in place."""
        from fewtune.backbones.language.sharded import share_out

        if self.language_model.team is not None:
            share_out(self.model, self.language_model.team)

    def costs(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """[B] negative log-likelihood in nats, summed over the predictions of each row that count."""
        parts = list(batches.by_length([row.tokens for row in rows], token_budget=TOKENS_AT_ONCE))
        if self.language_model.team is not None and rows:
            return self._shared_costs(rows, parts, self.language_model.team)
        found: dict[int, torch.Tensor] = {}
        for places in parts:
            costs_B = self._costs([rows[place] for place in places])
            found.update(zip(places.tolist(), costs_B, strict=True))
        return torch.stack([found[place] for place in range(len(rows))])

    def _shared_costs(self, rows: Sequence[Encoded], parts: Sequence[Any], team: Team) -> torch.Tensor:
        """[B] of all rows, everywhere; the way back goes through this process's own alone, and gradients add up."""
        from fewtune.backbones.language.sharded import turns

        if len(parts) < team.size:  # a turn that does not count is work for nothing
            parts = [places for part in parts for places in np.array_split(part, min(len(part), team.size))]
        own_B = torch.zeros(len(rows), device=self.language_model.device)
        for places, counts in turns(parts, team):
            with warnings.catch_warnings():  # T5 gives its states on as views, which nothing writes into
                warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
                costs_B = self._costs([rows[place] for place in places]) * float(counts)
            own_B = own_B.index_add(0, torch.as_tensor(places, device=own_B.device), costs_B)
        # FSDP takes the mean of the processes' gradients, where their sum is meant.
        return team.total(own_B) + team.size * (own_B - own_B.detach())

    def _costs(self, rows: Sequence[Encoded]) -> torch.Tensor:
        with compute_precision():
            return self._seq2seq(rows) if self.language_model.kind == "seq2seq" else self._causal(rows)

    def _causal(self, rows: Sequence[Encoded]) -> torch.Tensor:
        ids_BT, mask_BT = self._padded([row.ids for row in rows])
        # Virtual tokens may stand before the first, and have logits too.
        logits_BTV = self.model(input_ids=ids_BT, attention_mask=mask_BT).logits[:, -ids_BT.shape[1] : -1]
        counted_BT, _ = self._padded([list(map(int, row.counted)) for row in rows], fill=0)
        return _summed(logits_BTV, ids_BT[:, 1:], counted_BT[:, 1:])

    def _seq2seq(self, rows: Sequence[Encoded]) -> torch.Tensor:
        ids_BT, mask_BT = self._padded([row.ids for row in rows])
        target_BT, counted_BT = self._padded([row.target for row in rows])
        # The decoder reads what it has written so far, begun by its own start token.
        start = int(self.model.config.decoder_start_token_id)
        read_BT = torch.cat([torch.full_like(target_BT[:, :1], start), target_BT[:, :-1]], dim=1)
        logits_BTV = self.model(input_ids=ids_BT, attention_mask=mask_BT, decoder_input_ids=read_BT).logits
        return _summed(logits_BTV, target_BT, counted_BT)

    def _padded(self, rows: Sequence[Sequence[int]], fill: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        device = self.language_model.device
        filler = self.language_model.pad_id if fill is None else fill
        ids_BT, mask_BT = batches.pad_tokens(rows, filler)
        return ids_BT.to(device), mask_BT.to(device)


def _summed(logits_BTV: torch.Tensor, next_BT: torch.Tensor, counted_BT: torch.Tensor) -> torch.Tensor:
    nll_BT = nn.functional.cross_entropy(logits_BTV.float().transpose(1, 2), next_BT, reduction="none")
    return (nll_BT * counted_BT).sum(1)


def embeddings(model: Any) -> list[nn.Parameter]:
    """The word embeddings, and the head above, which is often the same tensor."""
    parts = [model.get_input_embeddings(), model.get_output_embeddings()]
    return [parameter for part in parts if part is not None for parameter in part.parameters()]


def stacks(model: Any) -> list[str]:
    """Names of a model's stacks of layers: one of a causal model, encoder and decoder of a seq2seq."""
    count = {int(getattr(model.config, name, 0) or 0) for name in ("num_hidden_layers", "num_decoder_layers")}
    names = [
        name for name, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module) in count
    ]
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def top_layers(model: Any, layers: int | None) -> list[str]:
    """Names of the highest layers of every stack; of all of them where `layers` is None."""
    found = []
    for stack in stacks(model):
        count = len(model.get_submodule(stack))
        found += [f"{stack}.{place}" for place in range(0 if layers is None else max(0, count - layers), count)]
    return found


def with_tensors(model: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """A copy of a model that shares every tensor but those given, by full name."""
    copied = sharing_copy(model)
    for name, tensor in tensors.items():
        parent, _, last = name.rpartition(".")
        setattr(copied.get_submodule(parent), last, nn.Parameter(tensor.detach().clone(), requires_grad=False))
    return copied.eval()
