"""ORPO: the chosen answer is learned as in any tuning, and its odds are raised over those of the rejected one.

Hong, Lee and Thorne 2024, "ORPO: Monolithic Preference Optimization without Reference Model" (arXiv 2403.07691): the
loss is the next-token loss of the chosen text plus β times −log σ of the log odds ratio of chosen to rejected, both per
token. There is no reference, so it can start from a model that was never tuned for these prompts. TRL, which calls
their λ β, counts the prompt's tokens in the next-token loss too, as their code does; 0.1 is TRL's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from fewtune.backbones import batches
from fewtune.backbones.language.encode import Encoded
from fewtune.data.base import Example
from fewtune.methods.base import Material
from fewtune.methods.preference.rows import Pair, pairs_of
from fewtune.methods.preference.trainers import orpo_trainer
from fewtune.methods.preference.tuned import PreferenceMethod, PreferenceTunable

IGNORED = -100
"""A label that no loss counts."""


@dataclass(frozen=True)
class ORPO(PreferenceMethod):
    """Odds-ratio preference optimisation."""

    name: ClassVar[str] = "orpo"
    title: ClassVar[str] = "ORPO"
    rung: ClassVar[int] = 2
    own_start: ClassVar[bool] = True
    seq2seq: ClassVar[bool] = True

    def tunable(self, material: Material) -> PreferenceTunable:
        """One run."""
        return ORPOTunable(self, material)


class ORPOTunable(PreferenceTunable):
    """A unit is a pair."""

    def coded(self, examples: Sequence[Example]) -> list[Pair]:
        """Both answers of each row."""
        return pairs_of(examples, self.language_model, self.template)

    def trainer_of(self, model: Any) -> Any:
        """TRL's ORPOTrainer."""
        return orpo_trainer(model, self.language_model.tokenizer, beta=self.method.beta)

    def batch_of(self, units: Sequence[Pair]) -> dict[str, torch.Tensor]:
        """Each side padded by itself; an encoder reads the prompt once for both."""
        chosen, rejected = [pair.chosen for pair in units], [pair.rejected for pair in units]
        if self.language_model.kind == "seq2seq":
            prompts = {f"prompt_{name}": tensor for name, tensor in self._side(chosen).items() if name != "labels"}
            labels = {"chosen_labels": self._targets(chosen), "rejected_labels": self._targets(rejected)}
            return {**prompts, **labels}
        sides = {"chosen": self._side(chosen), "rejected": self._side(rejected)}
        return {f"{side}_{name}": tensor for side, parts in sides.items() for name, tensor in parts.items()}

    def _side(self, rows: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        parts = self.padded(rows)
        counted_BT = parts.pop("completion_mask")
        return {**parts, "labels": parts["input_ids"].masked_fill(counted_BT == 0, IGNORED)}

    def _targets(self, rows: Sequence[Encoded]) -> torch.Tensor:
        target_BT, mask_BT = batches.pad_tokens([row.target for row in rows], IGNORED)
        return target_BT.masked_fill(mask_BT == 0, IGNORED).to(self.language_model.device)

    def loss_of(self, units: Sequence[Any]) -> torch.Tensor:
        """TRL's, and what it stored for its log put away."""
        loss = super().loss_of(units)
        self.trainer._stored_metrics.clear()
        return loss


__all__ = ["ORPO"]
