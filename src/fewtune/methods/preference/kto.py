"""KTO: answers are wanted or not, each by itself; no pairs are needed.

Ethayarajh and others 2024, "KTO: Model Alignment as Prospect Theoretic Optimization" (arXiv 2402.01306): a wanted
answer should gain on the reference by more than the model as a whole has moved away from it, an unwanted one by less.
How far it has moved is estimated within each batch from answers put behind one another's prompts, so the units of a
batch stay together in every pass and the order of batches alone is shuffled, as TRL has it. β of 0.1 is theirs. Where
wanted and unwanted answers are not equally many, the rarer kind weighs more, so that both count the same (their
equation 8).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from fewtune.backbones.language.encode import Encoded
from fewtune.data.base import Example
from fewtune.errors import UsageError
from fewtune.methods.base import IntArray, Material
from fewtune.methods.preference.rows import Single, singles_of
from fewtune.methods.preference.trainers import kto_trainer
from fewtune.methods.preference.tuned import PreferenceMethod, PreferenceTunable


@dataclass(frozen=True)
class KTO(PreferenceMethod):
    """Kahneman-Tversky optimisation."""

    name: ClassVar[str] = "kto"
    title: ClassVar[str] = "KTO"
    rung: ClassVar[int] = 3
    single: ClassVar[bool] = True

    batch_size: int = 16
    """Answers a step: as many as eight pairs are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size < 2:
            raise UsageError("kto: a batch holds 2 answers or more, as each is held against another's prompt.")

    def units(self, examples: Sequence[Example]) -> int:
        """A pair is two."""
        return sum(1 if example.rejected is None else 2 for example in examples)

    def tunable(self, material: Material) -> PreferenceTunable:
        """One run."""
        return KTOTunable(self, material)


class KTOTunable(PreferenceTunable):
    """A unit is one answer."""

    method: KTO

    def __init__(self, method: KTO, material: Material) -> None:
        super().__init__(method, material)
        self.swapped: dict[Encoded, float] = {}
        """What answers cost the first stage behind another's prompt."""

    def coded(self, examples: Sequence[Example]) -> list[Single]:
        """Every answer."""
        return singles_of(examples, self.language_model, self.template)

    def trainer_of(self, model: Any) -> Any:
        """TRL's KTOTrainer, its weights by how many answers of either kind there are."""
        wanted = sum(one.wanted for one in self.rows)
        fewer = len(self.rows) - wanted
        heavier = max(wanted, fewer) / max(1, min(wanted, fewer))
        weights = (heavier, 1.0) if wanted < fewer else (1.0, heavier)
        options = {"beta": self.method.beta, "wanted_weight": weights[0], "unwanted_weight": weights[1]}
        return kto_trainer(model, self.language_model.tokenizer, **options)

    def batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Batches of the same units in every pass, in shuffled order."""
        count, size = len(self.rows), self.method.batch_size
        order = rng.permutation(count)
        groups = [order[start : start + size] for start in range(0, count, size)]
        if len(groups) > 1 and len(groups[-1]) < 2:  # one answer alone would be held against itself
            groups[-2:] = [np.concatenate(groups[-2:])]
        queue: list[int] = []
        for _ in range(self.method.total_steps(self.material)):
            queue = queue or rng.permutation(len(groups)).tolist()
            yield groups[queue.pop()]

    def batch_of(self, units: Sequence[Single]) -> dict[str, torch.Tensor]:
        """The answers, and each behind the prompt of the next."""
        rows = [one.answer for one in units]
        others, most = [rows[-1], *rows[:-1]], self.language_model.context
        swapped = [behind(row, other, most) for row, other in zip(rows, others, strict=True)]
        moved = {f"KL_{name}": tensor for name, tensor in self.padded(swapped).items()}
        label = torch.tensor([one.wanted for one in units], device=self.language_model.device)
        # Which answers meet in a batch is this run's own: what they cost there is of use to no other.
        reference = {"ref_logps": self.reference(rows), "ref_KL_logps": self._swapped_reference(swapped)}
        return {**self.padded(rows), **moved, **reference, "label": label}

    def _swapped_reference(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """Worked out when first met, kept for the passes after."""
        missing = [row for row in dict.fromkeys(rows) if row not in self.swapped]
        if missing:
            self.swapped.update(zip(missing, self.reference(missing, keep=False).tolist(), strict=True))
        return torch.tensor([self.swapped[row] for row in rows], device=self.language_model.device)


def behind(asked: Encoded, answered: Encoded, most: int) -> Encoded:
    """The prompt of one row with the answer of another, cut off at `most` tokens."""
    start, begin = asked.counted.index(True), answered.counted.index(True)
    ids = (*asked.ids[:start], *answered.ids[begin:])[:most]
    counted = (*asked.counted[:start], *answered.counted[begin:])[:most]
    return replace(asked, ids=ids, counted=counted)


__all__ = ["KTO", "behind"]
