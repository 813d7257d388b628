"""Few-shot by prompt: training rows most like the text stand before it with their labels, then labels are scored.

The rows come from the training rows of the fold and from nowhere else, and a row that is the text itself is never among
them: asked about a text whose label it has been shown, a model only copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fewtune.data.base import Example
from fewtune.methods.base import ClosedFormMethod, Fitted, FloatArray, Material
from fewtune.methods.generation.few_shot import FewShotWriter, demonstrated
from fewtune.methods.generation.retrieval import ShownExamples
from fewtune.methods.labels.base import FittedLabels, LabelMethod, anyway, asked_of, read_plain
from fewtune.methods.labels.words import as_example

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class LabelFewShot(ShownExamples, LabelMethod, ClosedFormMethod):
    """Examples before the text."""

    name: ClassVar[str] = "label_few_shot"
    title: ClassVar[str] = "Few-shot prompt, labels scored"
    rung: ClassVar[int] = 2

    per_token: bool = True
    """Whether the likelihood of a label is the mean over its tokens."""
    content_free: tuple[str, ...] = ("N/A",)
    """Texts that say nothing, put behind the same examples; each costs one more prompt a text."""

    def fit(self, material: Material) -> Fitted:
        """Keep the training rows; nothing else is learned."""
        words = material.template.words_of(material.classes)
        rows = [(text, words[label]) for text, label in zip(material.texts, material.labels, strict=True)]
        return FittedFewShot(asked_of(material), material.template, material.classes, self, rows, material.seed)

    @classmethod
    def load_labels(cls, folder: Path, classes: tuple[str, ...], language_model: LanguageModel) -> Fitted:
        """The rows stand in its file."""
        plain = read_plain(folder)
        given = plain["content_free"]
        method = cls(int(plain["shots"]), str(plain["choose"]), bool(plain["per_token"]), tuple(map(str, given)))
        rows = [(str(text), str(label)) for text, label in plain["rows"]]
        return FittedFewShot(language_model, plain["template"], classes, method, rows, int(plain["seed"]))


class Shots(FewShotWriter):
    """Which rows stand before a text, with room for the longest label and never the text itself."""

    def __init__(
        self,
        language_model: LanguageModel,
        template: Any,
        method: ShownExamples,
        rows: Sequence[Example],
        seed: int,
        labels: Sequence[str],
    ) -> None:
        super().__init__(language_model, template, method, rows, seed)
        self.room = max(self._tokens(Example("", completion=label))[1] for label in labels) + self.around
        self.spelled = [spelled(row.prompt) for row in self.rows]

    def chosen(self, example: Example, order: np.ndarray) -> list[int]:
        """Rows that fit before a text, the most alike last."""
        own = spelled(example.prompt)
        return super().chosen(example, np.asarray([row for row in order if self.spelled[row] != own], dtype=np.int64))


def spelled(text: str) -> str:
    """A text by which it is known again: without case and outer or repeated spaces."""
    return " ".join(text.casefold().split())


class FittedFewShot(FittedLabels):
    """A language model asked with examples."""

    def __init__(
        self,
        language_model: LanguageModel,
        template: Any,
        classes: Sequence[str],
        method: LabelFewShot,
        rows: Sequence[tuple[str, str]],
        seed: int,
    ) -> None:
        options: dict[str, Any] = {"per_token": method.per_token, "content_free": method.content_free}
        super().__init__(language_model, template, classes, **options)
        examples = [as_example(text, self.template, label) for text, label in rows]
        self.method, self.rows, self.seed = method, list(rows), seed
        self.shots = Shots(language_model, self.template, method, examples, seed, self.words)
        self.notes = (f"examples chosen by {self.shots.retriever.name}",)

    def scores(self, texts: Sequence[str]) -> FloatArray:
        """[N, C] log-likelihoods behind the examples, held against those of texts that say nothing there."""
        examples = [as_example(text, self.template) for text in texts]
        shown = self.shots.shown(examples)
        empty = [as_example(text, self.template) for text in self.content_free]
        asked = [demonstrated(one, shots, self.template) for one, shots in zip(examples, shown, strict=True)]
        asked += [demonstrated(one, shots, self.template) for shots in shown for one in empty]
        likely_MC = self.likelihoods(asked)
        likely_NC = likely_MC[: len(texts)]
        if not empty or not len(texts):
            return likely_NC
        free_NKC = likely_MC[len(texts) :].reshape(len(texts), len(empty), -1)
        return likely_NC - np.stack([anyway(free_KC) for free_KC in free_NKC])

    def plain(self) -> dict[str, Any]:
        """With the rows; examples are chosen by what chose them here."""
        own = {"shots": self.method.shots, "choose": self.shots.retriever.name, "seed": self.seed}
        return {**super().plain(), **own, "rows": [list(row) for row in self.rows]}
