"""The first stage as it is: what every preference tuning must beat, and what is kept where none does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fewtune.data.base import Example, Task
from fewtune.methods.base import ClosedFormMethod, Fitted, Material, Written
from fewtune.methods.generation.base import ModelWriter, WritingMethod, costs_of, language_model_of
from fewtune.methods.preference.reference import reference_costs

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.data.templates.base import Template


@dataclass(frozen=True)
class FirstStage(WritingMethod, ClosedFormMethod):
    """No preference tuning."""

    name: ClassVar[str] = "first_stage"
    title: ClassVar[str] = "The first stage as it is"
    rung: ClassVar[int] = 0
    task: ClassVar[Task] = "preference"

    def fit(self, material: Material) -> Fitted:
        """Nothing is learned."""
        return FirstStageWriter(language_model_of(material), material.template)


class FirstStageWriter(ModelWriter):
    """The model that preference tuning starts from, with the settings it was saved with."""

    def __init__(self, language_model: LanguageModel, template: Template) -> None:
        from fewtune.backbones.decoding.settings import Decoding

        super().__init__(language_model, template)
        most = self.language_model.card.get("max_new_tokens")
        self.settings = Decoding(max_new_tokens=most) if isinstance(most, int) and most > 0 else None

    def costs(self, examples: Sequence[Example]) -> Written:
        """As the reference has them."""
        windows = [
            self.language_model.encode_all([example], self.template, turns="last", overlong="cut")
            for example in examples
        ]
        return costs_of(windows, lambda rows: reference_costs(self.language_model, rows).numpy().astype(np.float64))


__all__ = ["FirstStage", "FirstStageWriter"]
