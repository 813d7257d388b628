"""DPO: the chosen answer is made likelier than the rejected one, each against what the first stage gave it.

Rafailov and others 2023, "Direct Preference Optimization: Your Language Model is Secretly a Reward Model"
(arXiv 2305.18290): the loss of a pair is −log σ(β · (Δ chosen − Δ rejected)), Δ being the log-probability of an answer
less the reference's; ln 2 where nothing has moved. β of 0.1 is theirs, and TRL's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from fewtune.data.base import Example
from fewtune.errors import UsageError
from fewtune.methods.base import IntArray, Material
from fewtune.methods.preference.rows import Pair, pairs_of
from fewtune.methods.preference.trainers import dpo_trainer
from fewtune.methods.preference.tuned import PreferenceMethod, PreferenceTunable

LOSSES = ("sigmoid", "hinge", "ipo", "robust", "sigmoid_norm")


@dataclass(frozen=True)
class DPO(PreferenceMethod):
    """Direct preference optimisation."""

    name: ClassVar[str] = "dpo"
    title: ClassVar[str] = "DPO"
    rung: ClassVar[int] = 1

    loss_type: str = "sigmoid"
    """Of TRL's: `sigmoid` is DPO's own; `hinge`, `ipo`, `robust`, `sigmoid_norm` (by length)."""
    smoothing: float = 0.0
    """For `robust`: the share of preferences that may be the wrong way round."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss_type not in LOSSES or not 0 <= self.smoothing < 0.5:
            raise UsageError(f"dpo: the loss is one of {', '.join(LOSSES)}, and the smoothing below one half.")

    def tunable(self, material: Material) -> PreferenceTunable:
        """One run."""
        return DPOTunable(self, material)


class DPOTunable(PreferenceTunable):
    """A unit is a pair."""

    method: DPO
    adds_up = True

    def coded(self, examples: Sequence[Example]) -> list[Pair]:
        """Both answers of each row."""
        return pairs_of(examples, self.language_model, self.template)

    def trainer_of(self, model: Any) -> Any:
        """TRL's DPOTrainer."""
        own = self.method
        options: dict[str, Any] = {"beta": own.beta, "loss_type": own.loss_type, "smoothing": own.smoothing}
        return dpo_trainer(model, self.language_model.tokenizer, **options)

    def batch_of(self, units: Sequence[Pair]) -> dict[str, torch.Tensor]:
        """The chosen answers, then the rejected ones."""
        chosen, rejected = [pair.chosen for pair in units], [pair.rejected for pair in units]
        reference = {"ref_chosen_logps": self.reference(chosen), "ref_rejected_logps": self.reference(rejected)}
        return {**self.padded([*chosen, *rejected]), **reference}

    def share(self, rows: IntArray, batch: IntArray) -> torch.Tensor:
        """The loss is a mean over pairs."""
        return self.loss(rows) * (len(rows) / len(batch))


__all__ = ["DPO"]
