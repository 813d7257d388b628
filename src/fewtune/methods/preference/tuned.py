"""What DPO, ORPO and KTO share: LoRA on the first stage, TRL's loss on a batch, the loop of every other method.

Legend: U units (a pair, or one answer), B units of a batch, T tokens.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from fewtune.backbones import batches
from fewtune.data.base import Example, Task
from fewtune.errors import BackboneError, UsageError
from fewtune.methods.base import Fitted, IntArray, Material, Tunable, TunedMethod, Watched
from fewtune.methods.generation.base import WritingMethod, language_model_of
from fewtune.methods.generation.lora import LoRAWriter, WholeAdapted
from fewtune.methods.generation.tuned import MovingTunable, TunedWriter
from fewtune.methods.passes import in_batches, shuffled
from fewtune.methods.preference.reference import reference_costs
from fewtune.methods.preference.rows import singles_of
from fewtune.methods.preference.trainers import load_trl, require_trl

if TYPE_CHECKING:
    from fewtune.backbones.language.encode import Encoded
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class PreferenceMethod(WritingMethod, TunedMethod):
    """Settings of preference tuning by low-rank adapters; subclasses say which loss."""

    task: ClassVar[Task] = "preference"
    single: ClassVar[bool] = False
    """Whether it can learn from single answers, wanted or not; else from pairs alone."""
    seq2seq: ClassVar[bool] = False
    """Whether TRL has it for encoder-decoder models."""
    own_start: ClassVar[bool] = False
    """Whether it can start from a model that was not tuned for the prompts before."""

    rate: float = 3e-4
    """Peak rate of the adapters. On the starter the chosen answers of held-out pairs then cost no more than before; at
    1e-3 and above they did (`benchmarks/generation/preferences.py`)."""
    weight_decay: float = 0.0
    batch_size: int = 8
    """Units a step."""
    epochs: float = 3.0
    """Passes over the rows; the study tries longer and shorter ones."""
    least_steps: int = 1
    most_steps: int = 20_000
    beta: float = 0.1
    """How much a preference counts against staying near the first stage; each loss says how."""
    rank: int = 16
    alpha: int = 32
    targets: tuple[str, ...] = ()
    """Last parts of the names of the linear layers to adapt; all of them when empty."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.epochs <= 0 or self.rate <= 0 or self.beta <= 0 or self.rank < 1:
            raise UsageError(f"{self.name}: rate, epochs, beta, rank and batch size are more than 0.")

    @property
    def called(self) -> str:
        """With its epochs: the study tries several."""
        return f"{self.title}, {self.epochs:g} epoch{'' if self.epochs == 1 else 's'}"

    def adapters(self) -> LoRAWriter:
        """The adapters, as LoRA has them."""
        return LoRAWriter(rate=self.rate, rank=self.rank, alpha=self.alpha, targets=self.targets)

    def units(self, examples: Sequence[Example]) -> int:
        """U: how many there are to learn from."""
        return len(examples)

    def total_steps(self, material: Material) -> int:
        """Passes turned into steps."""
        steps = int(np.ceil(self.epochs * self.units(material.examples) / self.batch_size))
        return int(min(max(steps, self.least_steps), self.most_steps))

    def warm_to_write(self, language_model: LanguageModel, examples: Sequence[Example]) -> None:
        """TRL imported, which takes seconds, and the reference costs of every answer: once, for all workers."""
        load_trl()
        rows = [one.answer for one in singles_of(examples, language_model, language_model.settle())]
        reference_costs(language_model, rows)

    def build(self, material: Material) -> Tunable:
        """Raises BackboneError where TRL has the loss for causal models alone."""
        require_trl()
        model = language_model_of(material)
        if model.kind == "seq2seq" and not self.seq2seq:
            raise BackboneError(
                f"TRL has {self.title} for causal models only, and {model.name} is an encoder-decoder model. Take orpo."
            )
        return self.tunable(material)

    @abstractmethod
    def tunable(self, material: Material) -> PreferenceTunable:
        """One run."""


class PreferenceTunable(MovingTunable):
    """One run: what moves, and TRL's loss of a batch of units."""

    def __init__(self, method: PreferenceMethod, material: Material) -> None:
        from fewtune.backbones.language.whole import Whole

        self.method, self.material = method, material
        self.language_model = language_model_of(material)
        self.template = self.language_model.settle(material.template)
        whole = Whole(self.language_model)
        self.model = WholeAdapted(self.language_model, whole, method.adapters(), material.seed)
        self.model.set_dropout(0.0)  # the reference has none, and neither has TRL
        self.rows: list[Any] = self.coded(material.examples)
        self.trainer = self.trainer_of(whole.model)

    @abstractmethod
    def coded(self, examples: Sequence[Example]) -> list[Any]:
        """[U] the units as tokens."""

    @abstractmethod
    def trainer_of(self, model: Any) -> Any:
        """TRL's trainer around the model."""

    @abstractmethod
    def batch_of(self, units: Sequence[Any]) -> dict[str, torch.Tensor]:
        """A batch as TRL's collator would give it."""

    def padded(self, rows: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """[B, T] tokens, which of them are real, and which the answer is made of."""
        device = self.language_model.device
        ids_BT, mask_BT = batches.pad_tokens([row.ids for row in rows], self.language_model.pad_id)
        counted_BT, _ = batches.pad_tokens([list(map(int, row.counted)) for row in rows], 0)
        parts = {"input_ids": ids_BT, "attention_mask": mask_BT, "completion_mask": counted_BT}
        return {name: tensor.to(device) for name, tensor in parts.items()}

    def reference(self, rows: Sequence[Encoded], *, keep: bool = True) -> torch.Tensor:
        """[B] log-probabilities of answers under the first stage."""
        return -reference_costs(self.language_model, rows, keep=keep).to(self.language_model.device)

    def loss(self, indices: IntArray) -> torch.Tensor:
        """TRL's."""
        return self.loss_of([self.rows[unit] for unit in indices])

    def loss_of(self, units: Sequence[Any]) -> torch.Tensor:
        """Of given units."""
        from fewtune.backbones.precision import compute_precision
        from fewtune.backbones.quiet import quiet

        with compute_precision(), quiet():
            loss: torch.Tensor = self.trainer.compute_loss(self.trainer.model, self.batch_of(units))
        self.forget_metrics()
        return loss

    def forget_metrics(self) -> None:
        """What TRL noted for its own log, which nobody reads."""
        for noted in getattr(self.trainer, "_metrics", {}).values():
            noted.clear()

    def batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Shuffled passes over the units, cut into batches, until the step count is reached."""
        count, size = len(self.rows), self.method.batch_size
        steps = self.method.total_steps(self.material)
        return in_batches(shuffled(count, rng), size=size, count=count, steps=steps)

    def evaluation_loss(self, texts: Sequence[str], labels_N: IntArray) -> float:
        """Plain texts prefer nothing."""
        raise NotImplementedError("preferences are of examples")

    @torch.no_grad()
    def watched_loss(self, rows: Watched) -> float:
        """The mean over units, a batch at a time."""
        units = self.coded(rows.examples)
        size = max(2, self.method.batch_size)
        parts = [units[start : start + size] for start in range(0, len(units), size)]
        return float(np.average([float(self.loss_of(part)) for part in parts], weights=[len(part) for part in parts]))

    def chance_loss(self) -> float | None:
        """Not asked for: preferences that hold nothing to learn are a finding, not a failed start."""
        return None

    def finish(self) -> Fitted:
        """The first stage with what was learned."""
        self.model.train(False)
        return TunedWriter(self.method.adapters(), self.model, self.language_model, self.material)


__all__ = ["PreferenceMethod", "PreferenceTunable"]
