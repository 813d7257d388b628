"""What answers cost the model before preference tuning: the reference, worked out once and shared by every run.

Each cost is kept by the tokens it is of, as long as the model is open: folds, seeds, numbers of epochs and methods ask
for the same few hundred answers over and over.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from fewtune.backbones.language.encode import Encoded
    from fewtune.backbones.language.model import LanguageModel

Key = tuple[tuple[int, ...], tuple[bool, ...], tuple[int, ...]]
_known: weakref.WeakKeyDictionary[LanguageModel, dict[Key, float]] = weakref.WeakKeyDictionary()


def reference_costs(language_model: LanguageModel, rows: Sequence[Encoded], *, keep: bool = True) -> torch.Tensor:
    """[B] nats of each answer under the model as it was opened.

    Parameters
    ----------
    keep : whether they will be asked for again by another run.
    """
    known = _known.setdefault(language_model, {})
    keys = [(row.ids, row.counted, row.target) for row in rows]
    missing = {key: row for key, row in zip(keys, rows, strict=True) if key not in known}
    found = dict(zip(missing, _computed(language_model, list(missing.values())), strict=True))
    if keep:
        known.update(found)
    return torch.tensor([known[key] if key in known else found[key] for key in keys], dtype=torch.float32)


@torch.no_grad()
def _computed(language_model: LanguageModel, rows: Sequence[Encoded]) -> list[float]:
    """By the padded pass that training takes, so that an untrained adapter's costs are the same to the last digits."""
    from fewtune.backbones.language.whole import Whole

    if not rows:
        return []
    costs: list[float] = Whole(language_model).eval().costs(rows).float().tolist()
    return costs


__all__ = ["reference_costs"]
