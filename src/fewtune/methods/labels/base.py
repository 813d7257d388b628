"""What the methods share that tell classes apart with a model that writes: each label's words are scored as the answer.

The answer is constrained by construction: nothing is written, the likelihoods of the labels' words after the text are
compared. Two things besides the text make words likely, and both are taken out (`content_free`): how common the words
are anyway, and how many they are. The score of a label is

    log p(words | prompt with the text) - log p(words | prompt with a text that says nothing)

With the empty text alone this is the domain-conditional pointwise mutual information of Holtzman and others 2021
(arXiv 2104.08315); with several such texts, their probabilities averaged, the contextual calibration of Zhao and others
2021 (arXiv 2102.09690): both come to one formula, so one setting holds both.

Legend: N texts, C classes, K texts that say nothing.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from fewtune.data.base import Example
from fewtune.data.templates.base import Template
from fewtune.methods.base import Fitted, FloatArray, Material, Method
from fewtune.methods.labels.words import as_example, label_words

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder
    from fewtune.backbones.language.model import LanguageModel

FILE = "labels.json"


@dataclass(frozen=True)
class LabelMethod(Method):
    """A method that asks a language model for the label."""

    reads_with: ClassVar[Literal["encoder", "language_model"]] = "language_model"

    @classmethod
    def load(cls, folder: Path, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
        """It is opened by `load_labels`, which knows its language model."""
        raise NotImplementedError(f"{cls.name} asks a model that writes: open it with load_labels")

    @classmethod
    @abstractmethod
    def load_labels(cls, folder: Path, classes: tuple[str, ...], language_model: LanguageModel) -> Fitted:
        """Read what `Fitted.save` wrote beside the model, which is opened, an adapter merged into it."""


class FittedLabels(Fitted):
    """A language model that is asked for the label.

    Parameters
    ----------
    language_model : what is asked.
    template : how a text is put to it, and what each class is called.
    per_token : whether the likelihood of a label is the mean over its tokens, not the sum.
    content_free : texts that say nothing; labels are held against their likelihood after these. None: as they are.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        template: Template,
        classes: Sequence[str],
        *,
        per_token: bool = False,
        content_free: Sequence[str] = (),
    ) -> None:
        self.language_model, self.template = language_model, language_model.settle(template)
        self.classes, self.words = tuple(classes), label_words(template, classes)
        self.per_token, self.content_free = per_token, tuple(map(str, content_free))

    @property
    def asked(self) -> LanguageModel:
        """The model that is asked: tuned, where it was tuned."""
        return self.language_model

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        """Probabilities from the likelihoods of the labels."""
        from fewtune.backbones.decoding.score import probabilities

        return probabilities(self.scores(list(texts)))

    def scores(self, texts: Sequence[str]) -> FloatArray:
        """[N, C] log-likelihoods, held against those after texts that say nothing."""
        likely_NC = self.likelihoods([as_example(text, self.template) for text in texts])
        return likely_NC - self.prior_C if self.content_free and len(texts) else likely_NC

    @cached_property
    def prior_C(self) -> FloatArray:
        """Log of how likely each label is anyway."""
        return anyway(self.likelihoods([as_example(text, self.template) for text in self.content_free]))

    def likelihoods(self, examples: Sequence[Example]) -> FloatArray:
        """[N, C] log-likelihood of each label's words after each prompt."""
        from fewtune.backbones.decoding.score import score
        from fewtune.backbones.precision import compute_precision

        with compute_precision():
            return score(examples, self.words, self.asked, self.template, per_token=self.per_token)

    def plain(self) -> dict[str, Any]:
        """What it takes to be the same again, as JSON."""
        return {
            "template": self.template.to_json(),
            "per_token": self.per_token,
            "content_free": list(self.content_free),
        }

    def save(self, folder: Path) -> None:
        """Its settings; the model folder holds the backbone."""
        (folder / FILE).write_text(json.dumps(self.plain(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def anyway(likely_KC: FloatArray) -> FloatArray:
    """[C] log of the mean probability of each label over texts that say nothing."""
    from fewtune.backbones.decoding.score import probabilities

    return np.asarray(np.log(np.maximum(probabilities(likely_KC).mean(axis=0), np.finfo(np.float64).tiny)))


def asked_of(material: Material) -> LanguageModel:
    """The backbone of a run that asks for labels."""
    assert material.language_model is not None, "asking for a label needs a language model"
    return material.language_model


def read_plain(folder: Path) -> dict[str, Any]:
    """What `save` wrote. Raises OSError, ValueError or KeyError where it is damaged."""
    plain = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return {**plain, "template": Template.from_json(plain["template"])}
