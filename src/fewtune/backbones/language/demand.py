"""What a step of a model that writes holds for the way back, in bytes: an estimate, on the safe side.

About 34 bytes a token, layer and unit of width in half precision (Korthikanti and others 2022, "Reducing Activation
Recomputation in Large Transformer Models", equation 1, without what attention in one piece no longer holds); of layers
that are computed again, their input, and one of them whole; and logits, their gradient and their softmax in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewtune.backbones.language.trunk import LOGITS_AT_ONCE
from fewtune.backbones.precision import detect

if TYPE_CHECKING:
    from fewtune.backbones.language.encode import Encoded
    from fewtune.backbones.language.model import LanguageModel

LAYER, INPUT = 34, 2
"""Bytes a token and unit of width, in half precision."""
LOGITS = 3 * 4
"""Bytes a logit."""


def demand(model: LanguageModel, rows: Sequence[Encoded], *, again: bool) -> int:
    """Bytes of a step on `rows`, beside weights and what moves."""
    config = model.model.config
    layers = int(config.num_hidden_layers) + int(getattr(config, "num_decoder_layers", 0) or 0)
    width = int(model.model.get_input_embeddings().weight.shape[1])
    wide = 1 if detect() == "bf16" else 2
    tokens, vocabulary = sum(row.tokens for row in rows), model.vocabulary
    held = layers * INPUT + LAYER if again else layers * LAYER
    counted = min(sum(row.counted_tokens for row in rows) * vocabulary, LOGITS_AT_ONCE)
    return wide * held * tokens * width + LOGITS * counted
