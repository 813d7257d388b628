"""What the methods that write share: which backbone, what a row costs, what a fitted one writes.

Rows are scored by the completion alone: of a conversation, by its last answer. Every method is scored on the same
bytes, whatever it puts before them.

Legend: B rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from fewtune.data.base import Example, Task
from fewtune.data.templates.base import Template
from fewtune.methods.base import Fitted, Material, Method, Writer, Written

if TYPE_CHECKING:
    from fewtune.backbones.decoding.settings import Decoding
    from fewtune.backbones.encoder import Encoder
    from fewtune.backbones.language.encode import Encoded
    from fewtune.backbones.language.model import LanguageModel


LEAST_NEW_TOKENS = 16


@dataclass(frozen=True)
class WritingMethod(Method):
    """A method whose rows are prompts and completions."""

    task: ClassVar[Task] = "generation"

    @classmethod
    def load(cls, folder: Path, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
        """A writer is opened by `load_writer`, which knows its language model."""
        raise NotImplementedError(f"{cls.name} writes: open it with load_writer")

    def warm_to_write(self, language_model: LanguageModel, examples: Sequence[Example]) -> None:
        """Find out once whether rows can be packed."""
        from fewtune.backbones.language.trunk import trunk_of

        _ = trunk_of(language_model).fits

    @classmethod
    def load_writer(cls, folder: Path, language_model: LanguageModel, template: Template) -> Writer:
        """Read what `Writer.save` wrote beside the model; a tuned model stands in its own folder, opened."""
        return ModelWriter(language_model, template)


def language_model_of(material: Material) -> LanguageModel:
    """The backbone of a run that writes."""
    assert material.language_model is not None, "a writer needs a language model"
    return material.language_model


class ModelWriter(Writer):
    """A language model as it stands, asked in a template: zero-shot, or tuned and opened again.

    Parameters
    ----------
    language_model : what writes.
    template : how an example is put to it.
    settings : of the decoding, where nobody says otherwise.
    """

    def __init__(self, language_model: LanguageModel, template: Template, settings: Decoding | None = None) -> None:
        self.language_model, self.template = language_model, language_model.settle(template)
        self.settings = settings

    def asked(self, examples: Sequence[Example]) -> list[Example]:
        """The examples as they are put to the model."""
        return list(examples)

    def costs(self, examples: Sequence[Example]) -> Written:
        """What the completions cost; of a text too long for the context, all of its windows."""
        windows = [
            self.language_model.encode_all([example], self.template, turns="last", overlong="cut")
            for example in self.asked(examples)
        ]
        return costs_of(windows, lambda rows: scored(self.language_model, rows))

    def write(self, examples: Sequence[Example], settings: Any = None) -> list[str]:
        """Greedily, unless `settings` say otherwise."""
        from fewtune.backbones.language.sharded import at_work

        return written(at_work(self.language_model), self.asked(examples), self.template, settings or self.settings)

    def untuned(self) -> ModelWriter:
        """The same model as it was before it was tuned, asked in the same template."""
        return ModelWriter(self.language_model, self.template)

    def save(self, folder: Path) -> None:
        """Nothing of its own: the model folder holds the backbone."""


def costs_of(windows: Sequence[Sequence[Encoded]], score: Any) -> Written:
    """Costs, tokens and bytes of rows, each of one window or several.

    Parameters
    ----------
    score : rows of tokens → what each cost.
    """
    flat = [window for row in windows for window in row]
    of_row = np.repeat(np.arange(len(windows)), [len(row) for row in windows])
    nll = np.bincount(of_row, weights=score(flat) if flat else None, minlength=len(windows)).astype(np.float64)
    tokens, size = ([sum(getattr(one, name) for one in row) for row in windows] for name in ("counted_tokens", "bytes"))
    return Written(nll, np.asarray(tokens, dtype=np.int64), np.asarray(size, dtype=np.int64))


@torch.no_grad()
def scored(language_model: LanguageModel, rows: Sequence[Encoded]) -> np.ndarray:
    """What each row costs the model as it stands."""
    from fewtune.backbones.body import Body
    from fewtune.backbones.language.trunk import packed_costs, trunk_of
    from fewtune.backbones.language.whole import Whole

    if language_model.team is not None:
        from fewtune.backbones.language.sharded import untuned

        return untuned(language_model).costs(rows).double().cpu().numpy()
    trunk = trunk_of(language_model)
    if not trunk.fits:
        return Whole(language_model).eval().costs(rows).double().cpu().numpy()
    return packed_costs(Body(trunk, depth=0, train_layers=False).eval(), rows).double().cpu().numpy()


def written(language_model: LanguageModel, examples: Sequence[Example], template: Template, settings: Any) -> list[str]:
    """What the model writes for each prompt."""
    from fewtune.backbones.decoding.write import write

    return [answer.text for answer in write(list(examples), language_model, template, settings=settings)]


def long_enough(material: Material) -> Decoding:
    """Greedy, with room for twice the longest training completion: a model that never ends costs no more than that."""
    from fewtune.backbones.decoding.settings import Decoding

    texts = [example.completion for example in material.examples if example.completion]
    if not texts:
        return Decoding()
    lengths = map(len, language_model_of(material).tokenizer(texts, add_special_tokens=False)["input_ids"])
    return Decoding(max_new_tokens=max(LEAST_NEW_TOKENS, 2 * max(lengths)))
