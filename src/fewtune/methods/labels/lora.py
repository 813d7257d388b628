"""LoRA on the label: tuned on the words of each row's label alone, then labels are scored as before tuning.

What is learned is the likelihood of the right words; how likely words are anyway is learned with it, so nothing is
held against texts that say nothing, and no length is made up for.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch

from fewtune.data.base import Task
from fewtune.errors import UsageError
from fewtune.methods.base import Fitted, Material, Tunable, Watched
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.moving import Moving
from fewtune.methods.generation.tuned import NextTokenTunable, mean_loss
from fewtune.methods.labels.base import FittedLabels, LabelMethod, asked_of, read_plain
from fewtune.methods.labels.words import as_example

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class LabelLoRA(LabelMethod, LoRAWriter):
    """Next-token tuning of low-rank adapters on labels."""

    name: ClassVar[str] = "label_lora"
    title: ClassVar[str] = "LoRA on the label, labels scored"
    rung: ClassVar[int] = 5
    task: ClassVar[Task] = "classification"

    rate: float = 2e-3
    least_steps: int = 60
    """Fewest steps: with fewer, a small model learns which words are labels and not yet when."""
    spare: float = 0.1
    """Share of the rows set aside to stop early by, from 200 rows on: no study looks for its length."""

    def stack_key(self) -> Hashable:
        """None: runs go one by one."""
        return None

    def total_steps(self, material: Material) -> int:
        """Passes turned into steps."""
        return super().total_steps(spelled_out(material))

    def validation_share(self, material: Material) -> float:
        """A tenth of the rows once there are enough of them."""
        return super().validation_share(spelled_out(material))

    def build(self, material: Material) -> Tunable:
        """The model with what moves, and the rows as tokens. Raises UsageError where phrases are to be exchanged."""
        if self.exchange:
            raise UsageError("label_lora: a label is no phrase to be exchanged; leave label_lora.exchange at 0.")
        return LabelTunable(self, spelled_out(material))

    @classmethod
    def load_labels(cls, folder: Path, classes: tuple[str, ...], language_model: LanguageModel) -> Fitted:
        """The adapter was merged when the model was opened."""
        return FittedLabels(language_model, read_plain(folder)["template"], classes)


def spelled_out(material: Material) -> Material:
    """The same rows as prompts and completions, the completion being the label's words."""
    words = material.template.words_of(material.classes)
    rows = zip(material.texts, material.labels, strict=True)
    return replace(material, examples=[as_example(text, material.template, words[label]) for text, label in rows])


class LabelTunable(NextTokenTunable):
    """One run."""

    @torch.no_grad()
    def watched_loss(self, rows: Watched) -> float:
        """Mean over the tokens of the labels."""
        labelled = replace(self.material, texts=rows.texts, labels=rows.labels)
        examples = spelled_out(labelled).examples
        return float(mean_loss(self.model, self.language_model.encode_all(examples, self.template, overlong="cut")))

    def finish(self) -> Fitted:
        """The model as it stands."""
        self.model.train(False)
        return FittedLabelLoRA(self.model, asked_of(self.material), self.material)


class FittedLabelLoRA(FittedLabels):
    """A tuned model, merged into plain weights when it is asked."""

    def __init__(self, model: Moving, language_model: LanguageModel, material: Material) -> None:
        super().__init__(language_model, material.template, material.classes)
        self.model = model
        self.trainable_parameters = sum(tensor.numel() for tensor in model.moving.values())

    @cached_property
    def asked(self) -> LanguageModel:
        """The language model with the trained weights in place."""
        return replace(self.language_model, model=self.model.merged(), _computed={})

    def save(self, folder: Path) -> None:
        """Settings, and the adapter as PEFT has it."""
        super().save(folder)
        self.model.save(folder)


__all__ = ["FittedLabelLoRA", "LabelLoRA", "LabelTunable", "spelled_out"]
