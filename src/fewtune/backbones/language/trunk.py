"""A causal model cut in two: the trunk, whose texts are packed as an encoder's are, and the head above it.

The head is put on the states whose next token counts and on no others: of a prompt no logits are ever computed. Whether
trunk and head together are the model (some scale or squash their logits) is not looked up but tried once.

Legend: B rows of a batch, S tokens of a pack, D width, M predictions that count, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from fewtune.backbones.body import Body
from fewtune.backbones.encoder import Encoder
from fewtune.backbones.language.virtual import virtual_tokens
from fewtune.backbones.pooling import Pooling
from fewtune.backbones.precision import compute_precision

if TYPE_CHECKING:
    from fewtune.backbones.language.encode import Encoded
    from fewtune.backbones.language.model import LanguageModel

LOGITS_AT_ONCE = 1 << 25
"""Numbers of logits held at a time (128 MiB); with more, they are computed again on the way back."""


class Trunk(Encoder):
    """The part of a causal model below its head, packed, cached and tuned as an encoder is."""

    def __init__(self, language_model: LanguageModel) -> None:
        self.language_model = language_model
        super().__init__(
            language_model.model.base_model,
            language_model.tokenizer,
            name=language_model.name,
            fingerprint=f"{language_model.fingerprint}-trunk",
            pooling=Pooling("last", "the trunk of a model that writes"),
            max_tokens=language_model.context,
            folder=language_model.folder,
        )

    @property
    def pad_id(self) -> int:
        """What packs are filled with."""
        return self.language_model.pad_id

    def enter(self, ids: Sequence[int]) -> str:
        """The name under which `tokens` and `hidden` know these ids."""
        name = ",".join(map(str, ids))
        self._tokens.setdefault(name, list(ids))
        return name

    @cached_property
    def fits(self) -> bool:
        """Whether rows can be packed and the head stands on the trunk alone: found by trying."""
        if self.language_model.kind != "causal" or virtual_tokens(self.language_model.model):
            return False
        if self.language_model.team is not None or self.language_model.padded:
            return False
        if self.first_position is None:
            return False
        model, vocabulary = self.language_model.model, self.language_model.vocabulary
        ids_1T = torch.tensor([[(5 * place + 1) % vocabulary for place in range(6)]], device=self.device)
        with torch.no_grad():
            seen_1T = torch.ones_like(ids_1T)
            whole = model(input_ids=ids_1T, attention_mask=seen_1T).logits
            apart = head_of(model)(self.model(input_ids=ids_1T, attention_mask=seen_1T).last_hidden_state)
        return torch.allclose(whole, apart, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))

    def logits(self, states_MD: torch.Tensor) -> torch.Tensor:
        """[M, V] float32."""
        head = head_of(self.language_model.model)
        weight_VD = self.language_model.computed(head.weight)
        with compute_precision():
            return nn.functional.linear(states_MD.to(weight_VD.dtype), weight_VD, getattr(head, "bias", None)).float()


def head_of(model: Any) -> Any:
    """The linear layer that turns states into logits."""
    return model.get_output_embeddings()


_trunks: WeakKeyDictionary[LanguageModel, Trunk] = WeakKeyDictionary()


def trunk_of(language_model: LanguageModel) -> Trunk:
    """The trunk of a model, made once."""
    if language_model not in _trunks:
        _trunks[language_model] = Trunk(language_model)
    return _trunks[language_model]


def packed_costs(body: Body, rows: Sequence[Encoded], runs: Sequence[int] | None = None) -> torch.Tensor:
    """[B] negative log-likelihood in nats, summed over the predictions of each row that count.

    Parameters
    ----------
    runs : the slot each row belongs to, ascending; all of slot 0 when not given.
    """
    trunk, owners = body.encoder, list(runs or [0] * len(rows))
    assert isinstance(trunk, Trunk)
    # The last token is predicted and predicts nothing.
    all_names = [trunk.enter(row.ids[: max(1, len(row.ids) - 1)]) for row in rows]
    costs: list[torch.Tensor] = []
    order: list[int] = []
    with compute_precision():  # around all packs: the weights are cast once, not once a pack
        for places in body.chunks(body.lengths(all_names, owners), owners):
            order += places
            part, names = [rows[place] for place in places], [all_names[place] for place in places]
            hidden_SD, layout = body.packed_states(names, [owners[place] for place in places])
            found = [_predictions(row, int(start)) for row, start in zip(part, layout.starts[:-1], strict=True)]
            at_M = torch.tensor([place for row in found for place, _ in row], dtype=torch.long, device=trunk.device)
            next_M = torch.tensor([token for row in found for _, token in row], dtype=torch.long, device=trunk.device)
            of_M = torch.tensor([number for number, row in enumerate(found) for _ in row], device=trunk.device)
            nll_M = surprise(trunk, hidden_SD.index_select(0, at_M), next_M)
            costs.append(nll_M.new_zeros(len(part)).index_add(0, of_M.long(), nll_M))
    return torch.cat(costs)[np.argsort(order)] if costs else torch.zeros(0, device=trunk.device)


def _predictions(row: Encoded, start: int) -> list[tuple[int, int]]:
    """Where the state stands that predicts a token that counts, and the token."""
    return [(start + place - 1, row.ids[place]) for place in range(1, len(row.ids)) if row.counted[place]]


def surprise(trunk: Trunk, states_MD: torch.Tensor, next_M: torch.Tensor) -> torch.Tensor:
    """[M] nats each token came as a surprise of; logits are computed a part at a time."""
    size = max(1, LOGITS_AT_ONCE // trunk.language_model.vocabulary)
    if len(next_M) <= size:
        return _surprise(trunk, states_MD, next_M)
    parts = []
    for start in range(0, len(next_M), size):
        given = (trunk, states_MD[start : start + size], next_M[start : start + size])
        parts.append(
            checkpoint(_surprise, *given, use_reentrant=False) if states_MD.requires_grad else _surprise(*given)
        )
    return torch.cat(parts)


def _surprise(trunk: Trunk, states_MD: torch.Tensor, next_M: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(trunk.logits(states_MD), next_M, reduction="none")
