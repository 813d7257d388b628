"""Forward passes through a frozen backbone whose answer to a text does not depend on the texts beside it.

What could change the last bits is attention, which sees another shape when a text is padded, and the number of rows of
a product: on a CPU products of very few rows are computed by other kernels, on a GPU kernels are chosen by the shape at
every size. So on a CPU texts stand one behind the other in packs of at least 16 tokens and attend in groups of one
exact length (`Packs`): from 15 tokens on nothing changed, with one thread or two, in float32 and bf16
(`benchmarks/engine/prefix.py` measures it). On a GPU, and where an architecture cannot be packed, a batch holds texts
of one exact length, filled up with copies of its first text (`Batches`).

Legend: R texts of a batch, T tokens, S tokens of a pack, D width.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from fewtune.backbones import batches
from fewtune.backbones.attention import SHORT
from fewtune.backbones.dropout import install_dropout
from fewtune.backbones.fused import fuse
from fewtune.backbones.layers import layer_list, sharing_copy
from fewtune.backbones.layout import Layout, filling, laid_out
from fewtune.backbones.packed import use_packed_attention
from fewtune.backbones.pooling import POOLS
from fewtune.backbones.precision import compute_precision, detect
from fewtune.backbones.prefix.answers import Block, Tokens

TOKENS_PER_BATCH = 4096
LEAST_TOKENS = 64


class _Reached(Exception):
    """The layer whose input was asked for has been reached: what lies above it is not computed."""

    def __init__(self, states: torch.Tensor) -> None:
        self.states = states


class Frozen(ABC):
    """A frozen model, its products in the format of this machine.

    Parameters
    ----------
    model : as loaded; not changed.
    computed : what a parameter is in the format of products, shared with whoever else computes with it.
    pooling : how token vectors become one.
    """

    def __init__(self, model: Any, computed: Any, pooling: str) -> None:
        # The copy is cast once, not in every pass, and may be changed.
        self.model = sharing_copy(model, {id(parameter): computed(parameter) for parameter in model.parameters()})
        self.model.eval()  # dropout would be kept for good
        self.pool = POOLS[pooling]
        self.device: torch.device = next(iter(model.parameters())).device
        self.width = int(model.config.hidden_size)

    def pooled(self, tokens: Sequence[Tokens]) -> Iterator[Block]:
        """[2, D] of each text, unit length each: pooled at two thirds of the depth, and at the end."""
        for rows, inputs in self._batches(tokens):
            with torch.no_grad(), compute_precision():
                answer = self._answer(inputs, output_hidden_states=True)
            middle = answer.hidden_states[len(answer.hidden_states) * 2 // 3]
            both = [self._by_text(states, inputs) for states in (middle, answer.last_hidden_state)]
            both_R2D = torch.nn.functional.normalize(torch.stack(both, dim=1), dim=-1)
            yield rows, [both_2D.clone() for both_2D in both_R2D[: len(rows)]]
        yield from _of_nothing(tokens, torch.zeros(2, self.width, device=self.device))

    def _by_text(self, states: torch.Tensor, inputs: Any) -> torch.Tensor:
        """[R, D] the pooled states of each text."""
        return torch.cat([self.pool(part_RTD.float(), _all_real(part_RTD)) for part_RTD in self._alike(states, inputs)])

    def states(self, tokens: Sequence[Tokens], depth: int) -> Iterator[Block]:
        """[T, D] of each text after the first `depth` layers."""
        for rows, inputs in self._batches(tokens):
            states = self._states(inputs, depth)
            states = states.bfloat16() if detect() == "bf16" else states.float()
            by_text = [states_TD.clone() for alike_RTD in self._alike(states, inputs) for states_TD in alike_RTD]
            yield rows, by_text[: len(rows)]
        yield from _of_nothing(tokens, torch.zeros(0, self.width, device=self.device))

    @torch.no_grad()
    def _states(self, inputs: Any, depth: int) -> torch.Tensor:
        layers = layer_list(self.model)
        with compute_precision():
            if layers is None or depth >= len(layers):
                found: torch.Tensor = self._answer(inputs, output_hidden_states=True).hidden_states[depth]
                return found
            hook = layers[depth].register_forward_pre_hook(_stop_here, with_kwargs=True)
            try:
                self._answer(inputs)
            except _Reached as reached:
                return reached.states
            finally:
                hook.remove()
        raise AssertionError("a layer was not reached")

    @abstractmethod
    def _batches(self, tokens: Sequence[Tokens]) -> Iterator[tuple[list[int], Any]]:
        """Rows with tokens, and what the model is to be handed for them."""

    @abstractmethod
    def _answer(self, inputs: Any, **options: Any) -> Any:
        """What the model answers."""

    @abstractmethod
    def _alike(self, states: torch.Tensor, inputs: Any) -> Iterator[torch.Tensor]:
        """[R, T, D] texts of one length each, in the order of the rows."""


class Packs(Frozen):
    """Texts one behind the other, sorted by length; for CPUs and architectures that can be packed.

    Parameters
    ----------
    first : the number of a text's first position.
    pad_id : the token that fills a pack up.
    """

    def __init__(self, model: Any, computed: Any, pooling: str, *, first: int, pad_id: int) -> None:
        super().__init__(model, computed, pooling)
        self.first, self.pad_id = first, pad_id
        use_packed_attention(self.model)
        install_dropout(self.model)
        fuse(list(layer_list(self.model) or []))

    def _batches(self, tokens: Sequence[Tokens]) -> Iterator[tuple[list[int], Any]]:
        rows = sorted((row for row, ids in enumerate(tokens) if len(ids)), key=lambda row: len(tokens[row]))
        lengths = [len(ids) for ids in tokens]
        # Long texts attend by another function: a short one must not meet it for the company it keeps.
        for _, alike in itertools.groupby(rows, key=lambda row: lengths[row] > SHORT):
            for pack in batches.in_order(list(alike), lengths, token_budget=TOKENS_PER_BATCH):
                fill = filling(sum(lengths[row] for row in pack))
                ids = [*itertools.chain.from_iterable(tokens[row] for row in pack), *[self.pad_id] * fill]
                yield pack, (torch.tensor([ids]), Layout([lengths[row] for row in pack], fill=fill, alike=1.0))

    def _answer(self, inputs: Any, **options: Any) -> Any:
        ids_1S, layout = inputs
        with laid_out(layout):
            return self.model(input_ids=ids_1S, position_ids=(layout.positions_S + self.first)[None], **options)

    def _alike(self, states: torch.Tensor, inputs: Any) -> Iterator[torch.Tensor]:
        start = 0
        for length, texts in itertools.groupby(inputs[1].lengths.tolist()):
            count = len(list(texts))
            yield states[0, start : start + count * length].view(count, length, -1)
            start += count * length


class Batches(Frozen):
    """Texts of one exact length, with copies of the first behind them."""

    def _batches(self, tokens: Sequence[Tokens]) -> Iterator[tuple[list[int], Any]]:
        for rows in batches.of_one_length([len(ids) for ids in tokens], token_budget=TOKENS_PER_BATCH):
            length = len(tokens[rows[0]])
            if not length:
                continue
            least = TOKENS_PER_BATCH if self.device.type == "cuda" else LEAST_TOKENS + length - 1
            filled = [*rows, *[rows[0]] * (least // length - len(rows))]
            ids_RT = torch.tensor([list(tokens[row]) for row in filled], dtype=torch.long, device=self.device)
            yield rows, ids_RT

    def _answer(self, inputs: Any, **options: Any) -> Any:
        return self.model(input_ids=inputs, attention_mask=torch.ones_like(inputs), **options)

    def _alike(self, states: torch.Tensor, inputs: Any) -> Iterator[torch.Tensor]:
        yield states


def _all_real(states_RTD: torch.Tensor) -> torch.Tensor:
    return torch.ones(states_RTD.shape[:2], dtype=torch.long, device=states_RTD.device)


def _of_nothing(tokens: Sequence[Tokens], value: torch.Tensor) -> Iterator[Block]:
    """What is said of texts without a token."""
    rows = [row for row, ids in enumerate(tokens) if not len(ids)]
    if rows:
        yield rows, [value for _ in rows]


def _stop_here(_layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    raise _Reached(args[0] if args else kwargs["hidden_states"])
