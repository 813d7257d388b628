"""Forward passes through a frozen backbone whose answer to a text does not depend on the texts beside it.

A batch holds texts of one exact length: no padding, and attention sees one shape for a text whatever came with it.
What else could change the last bits is the number of rows. On a CPU products of very few rows are computed by other
kernels, so a batch is filled up to `LEAST_TOKENS` with copies of its first text (from 15 tokens on nothing changed,
with one thread or two, in float32 and bf16: `benchmarks/engine/prefix.py` measures it). On a GPU kernels are chosen by
the shape at every size, so a batch is filled to the number of rows that its length always has.

Legend: R texts of a batch, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from fewtune.backbones import batches
from fewtune.backbones.layers import layer_list, sharing_copy
from fewtune.backbones.pooling import POOLS
from fewtune.backbones.precision import compute_precision, detect
from fewtune.backbones.prefix.answers import Block, Tokens

TOKENS_PER_BATCH = 4096
LEAST_TOKENS = 64


class _Reached(Exception):
    """The layer whose input was asked for has been reached: what lies above it is not computed."""

    def __init__(self, states_RTD: torch.Tensor) -> None:
        self.states_RTD = states_RTD


class Frozen:
    """A frozen model, its products in the format of this machine.

    Parameters
    ----------
    model : as loaded; not changed.
    computed : what a parameter is in the format of products, shared with whoever else computes with it.
    pooling : how token vectors become one.
    """

    def __init__(self, model: Any, computed: Any, pooling: str) -> None:
        self.model, self.pool = model, POOLS[pooling]
        if detect() == "bf16":  # cast once, not in every pass
            self.model = sharing_copy(model, {id(parameter): computed(parameter) for parameter in model.parameters()})
        self.device: torch.device = next(iter(model.parameters())).device
        self.width = int(model.config.hidden_size)

    def pooled(self, tokens: Sequence[Tokens]) -> Iterator[Block]:
        """[2, D] of each text, unit length each: pooled at two thirds of the depth, and at the end."""
        for rows, ids_RT in self._batches(tokens):
            mask_RT = torch.ones_like(ids_RT)
            if ids_RT.shape[1] == 0:
                yield rows, [torch.zeros(2, self.width, device=self.device) for _ in rows]
                continue
            with torch.no_grad(), compute_precision():
                answer = self.model(input_ids=ids_RT, attention_mask=mask_RT, output_hidden_states=True)
            middle = answer.hidden_states[len(answer.hidden_states) * 2 // 3]
            pooled = [self.pool(states.float(), mask_RT) for states in (middle, answer.last_hidden_state)]
            both_R2D = torch.nn.functional.normalize(torch.stack(pooled, dim=1), dim=-1)
            yield rows, [both_2D.clone() for both_2D in both_R2D[: len(rows)]]

    def states(self, tokens: Sequence[Tokens], depth: int) -> Iterator[Block]:
        """[T, D] of each text after the first `depth` layers."""
        for rows, ids_RT in self._batches(tokens):
            states_RTD = self._states(ids_RT, depth) if ids_RT.shape[1] else torch.zeros(len(rows), 0, self.width)
            states_RTD = states_RTD.bfloat16() if detect() == "bf16" else states_RTD.float()
            yield rows, [states_TD.clone() for states_TD in states_RTD[: len(rows)]]

    @torch.no_grad()
    def _states(self, ids_RT: torch.Tensor, depth: int) -> torch.Tensor:
        layers = layer_list(self.model)
        mask_RT = torch.ones_like(ids_RT)
        with compute_precision():
            if layers is None or depth >= len(layers):
                answer = self.model(input_ids=ids_RT, attention_mask=mask_RT, output_hidden_states=True)
                found: torch.Tensor = answer.hidden_states[depth]
                return found
            hook = layers[depth].register_forward_pre_hook(_stop_here, with_kwargs=True)
            try:
                self.model(input_ids=ids_RT, attention_mask=mask_RT)
            except _Reached as reached:
                return reached.states_RTD
            finally:
                hook.remove()
        raise AssertionError("a layer was not reached")

    def _batches(self, tokens: Sequence[Tokens]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Rows of one length, and their [R, T] ids with copies of the first behind them."""
        if self.model.training:  # dropout would be kept for good
            self.model.eval()
        for rows in batches.of_one_length([len(ids) for ids in tokens], token_budget=TOKENS_PER_BATCH):
            length = len(tokens[rows[0]])
            least = TOKENS_PER_BATCH if self.device.type == "cuda" else LEAST_TOKENS + length - 1
            filled = [*rows, *[rows[0]] * (least // max(1, length) - len(rows))]
            ids_RT = torch.tensor([list(tokens[row]) for row in filled], dtype=torch.long, device=self.device)
            yield rows, ids_RT


def _stop_here(_layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    raise _Reached(args[0] if args else kwargs["hidden_states"])
