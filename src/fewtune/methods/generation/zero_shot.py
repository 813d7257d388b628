"""Zero-shot: the model is given the prompt in its template and nothing else. It learns nothing from the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fewtune.methods.base import ClosedFormMethod, Fitted, Material
from fewtune.methods.generation.base import ModelWriter, WritingMethod, language_model_of, long_enough


@dataclass(frozen=True)
class ZeroShotPrompt(WritingMethod, ClosedFormMethod):
    """The prompt alone: what every tuning is held against."""

    name: ClassVar[str] = "zero_shot"
    title: ClassVar[str] = "Zero-shot prompt"
    rung: ClassVar[int] = 1

    def fit(self, material: Material) -> Fitted:
        """Nothing is learned."""
        return ModelWriter(language_model_of(material), material.template, long_enough(material))
