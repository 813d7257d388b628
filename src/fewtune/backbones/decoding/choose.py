"""From scores to the next token, as logits processors: penalty, constraint, temperature, top-k, top-p, the draw.

Nothing draws from the global random state: each row has numbers of its own, so that a row's text depends neither on
its neighbours nor on what was drawn before.

Legend: B rows, T tokens, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from fewtune.backbones.decoding.settings import Decoding


class Constraint(Protocol):
    """What an answer must be: bars tokens as it is written."""

    def start(self, rows: int) -> Bars:
        """For a batch of rows."""


class Bars(Protocol):
    """A constraint at work on one batch."""

    def __call__(self, written_BT: torch.Tensor, scores_BV: torch.Tensor) -> torch.Tensor:
        """Scores with barred tokens at minus infinity; `written_BT` is what was written so far."""


def processors(
    settings: Decoding, *, rows: Sequence[int], mask_BT: torch.Tensor | None, prompt_tokens: int, bars: Bars | None
) -> Any:
    """What is done to the scores of each step, in order.

    Parameters
    ----------
    rows : number of each row, which its draws depend on.
    mask_BT : real tokens of the prompts; None where there is no padding.
    prompt_tokens : how many tokens stand before what is written.
    bars : of a constraint.
    """
    from transformers import (
        LogitsProcessorList,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    steps: list[Any] = []
    if settings.repetition_penalty != 1.0:
        steps.append(_Unpadded(RepetitionPenaltyLogitsProcessor(float(settings.repetition_penalty)), mask_BT))
    if bars is not None:
        steps.append(lambda ids_BT, scores_BV: bars(ids_BT[:, prompt_tokens:], scores_BV))
    if not settings.greedy:
        steps.append(TemperatureLogitsWarper(float(settings.temperature)))
        if settings.top_k:
            steps.append(TopKLogitsWarper(settings.top_k))
        if settings.top_p < 1.0:
            steps.append(TopPLogitsWarper(float(settings.top_p)))
        steps.append(_Draw(settings, rows, prompt_tokens))
    return LogitsProcessorList(steps)


class _Unpadded:
    """A processor that looks at what stands in the text, and not at what fills the batch."""

    def __init__(self, processor: Any, mask_BT: torch.Tensor | None) -> None:
        self.processor, self.mask_BT = processor, mask_BT

    def __call__(self, ids_BT: torch.Tensor, scores_BV: torch.Tensor) -> torch.Tensor:
        if self.mask_BT is not None:
            length = self.mask_BT.shape[1]
            prompt_BT = torch.where(self.mask_BT.bool(), ids_BT[:, :length], ids_BT[:, length - 1 : length])
            ids_BT = torch.cat([prompt_BT, ids_BT[:, length:]], dim=1)
        found: torch.Tensor = self.processor(ids_BT, scores_BV)
        return found


class _Draw:
    """One token drawn for each row; all others are barred, so that taking the likeliest takes it."""

    def __init__(self, settings: Decoding, rows: Sequence[int], prompt_tokens: int) -> None:
        numbers = [np.random.default_rng([settings.seed, row]).random(settings.max_new_tokens) for row in rows]
        self.numbers_BT, self.prompt_tokens = torch.from_numpy(np.stack(numbers)), prompt_tokens

    def __call__(self, ids_BT: torch.Tensor, scores_BV: torch.Tensor) -> torch.Tensor:
        step = ids_BT.shape[1] - self.prompt_tokens
        summed_BV = torch.softmax(scores_BV.double(), dim=-1).cumsum(dim=-1)
        number_B1 = self.numbers_BT[:, step : step + 1].to(scores_BV.device)
        # Times the sum, which is 1 but for rounding: no token beyond the last possible one is ever met.
        drawn_B1 = torch.searchsorted(summed_BV, number_B1 * summed_BV[:, -1:], right=True)
        drawn_B1 = drawn_B1.clamp_max(scores_BV.shape[1] - 1)
        return torch.full_like(scores_BV, -torch.inf).scatter_(1, drawn_B1, 0.0)
