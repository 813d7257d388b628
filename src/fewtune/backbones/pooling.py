"""One vector a text from its token vectors, in the way the backbone's own files ask for.

Legend: B texts, T tokens, D width.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

Pool = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Pooling:
    """How token vectors become one vector."""

    mode: str
    """`mean`, `cls` (first token), `max` or `last` (last token)."""
    source: str
    """The file or rule that decided, for the report."""
    max_tokens: int | None = None
    """The limit its own files state, if they do."""


def mean(hidden_BTD: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """Average over the real tokens."""
    weights_BT1 = mask_BT.unsqueeze(-1).to(hidden_BTD.dtype)
    return (hidden_BTD * weights_BT1).sum(1) / weights_BT1.sum(1)


def cls(hidden_BTD: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """The first token (batches are padded on the right)."""
    return hidden_BTD[:, 0]


def largest(hidden_BTD: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """Largest value over the real tokens, each dimension on its own."""
    return hidden_BTD.masked_fill(mask_BT.unsqueeze(-1) == 0, float("-inf")).amax(1)


def last(hidden_BTD: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """The last real token."""
    return hidden_BTD[torch.arange(len(hidden_BTD)), mask_BT.sum(1) - 1]


POOLS: dict[str, Pool] = {"mean": mean, "cls": cls, "max": largest, "last": last}
# The names sentence-transformers uses in `1_Pooling/config.json`.
_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
_WORDS = {"mean": "mean", "cls": "cls", "max": "max", "lasttoken": "last"}


def choose(folder: Path | None, config: Any) -> Pooling:
    """The pooling a model was trained with: sentence-transformers files, then its config, else the mean.

    The mean is the fallback because a frozen first token of a model that was never tuned carries little
    (Reimers and Gurevych 2019, table 6).
    """
    if folder is not None and (folder / "modules.json").exists():
        stated = _sentence_transformers(folder)
        if stated is not None:
            return stated
    asked = getattr(config, "classifier_pooling", None)
    if asked in ("mean", "cls"):
        return Pooling(asked, "config.json: classifier_pooling")
    return Pooling("mean", "no pooling stated: mean of the tokens")


def _sentence_transformers(folder: Path) -> Pooling | None:
    listed = _json(folder / "modules.json")
    modules = [m for m in listed if isinstance(m, dict)] if isinstance(listed, list) else []
    module = next((m for m in modules if str(m.get("type", "")).endswith("Pooling")), None)
    if module is None:
        return None
    config = _object(folder / str(module.get("path", "1_Pooling")) / "config.json")
    word = _WORDS.get(str(config.get("pooling_mode")))
    mode = word or next((mode for flag, mode in _FLAGS.items() if config.get(flag)), None)
    if mode is None:
        return None
    limit = _object(folder / "sentence_bert_config.json").get("max_seq_length")
    return Pooling(mode, f"{module.get('path', '1_Pooling')}/config.json", limit if isinstance(limit, int) else None)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is none."""
    found = _json(path)
    return found if isinstance(found, dict) else {}
