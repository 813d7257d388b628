"""Zero-shot by prompt: the label whose words the model finds likeliest after the text. Reads no label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fewtune.methods.base import ClosedFormMethod, Fitted, Material
from fewtune.methods.labels.base import FittedLabels, LabelMethod, asked_of, read_plain

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class LabelZeroShot(LabelMethod, ClosedFormMethod):
    """The labels' likelihoods after a prompt."""

    name: ClassVar[str] = "label_zero_shot"
    title: ClassVar[str] = "Zero-shot prompt, labels scored"
    rung: ClassVar[int] = 1

    per_token: bool = True
    """Whether the likelihood of a label is the mean over its tokens: a label of many tokens is then not at a loss."""
    content_free: tuple[str, ...] = ("N/A", "", "[MASK]")
    """Texts that say nothing; labels are held against how likely they are after these. The empty one alone is PMI."""

    def fit(self, material: Material) -> Fitted:
        """Nothing is learned."""
        options = {"per_token": self.per_token, "content_free": self.content_free}
        return FittedLabels(asked_of(material), material.template, material.classes, **options)  # type: ignore[arg-type]

    @classmethod
    def load_labels(cls, folder: Path, classes: tuple[str, ...], language_model: LanguageModel) -> Fitted:
        """Model, template and settings are all there is."""
        plain = read_plain(folder)
        options = {"per_token": bool(plain["per_token"]), "content_free": plain["content_free"]}
        return FittedLabels(language_model, plain["template"], classes, **options)
