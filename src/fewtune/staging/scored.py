"""A model examined on the held-out rows of all stages, and on text that no stage is about.

A model is always examined as it was read from its folder, which is also how the next stage begins with it: so what is
scored after a stage and what the next one starts from are the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.data.base import Dataset, Example
from fewtune.data.exchanges import prompt_key
from fewtune.data.general import to_write
from fewtune.data.templates.base import PLAIN, Template
from fewtune.methods.base import Material, Written
from fewtune.methods.generation.base import ModelWriter, long_enough
from fewtune.metrics.likelihood import Likelihoods
from fewtune.report.written import scores

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel

TEXTS = 100
"""Held-out rows of a stage for which texts are written after every stage; costs are known of all."""


@dataclass(frozen=True)
class Column:
    """What models are examined on."""

    name: str
    held_out: Dataset
    train: Dataset | None = None
    """What is learnt in the stage; None beside the stages."""

    @property
    def groups(self) -> list[str]:
        """[N] rows of one prompt count as one."""
        return [prompt_key(example) for example in self.held_out]


def examined(folder: str | Path, columns: Sequence[Column], template: Template) -> dict[str, Any]:
    """What the rows of every column cost a model, and the scores of it: {"costs", "scores", "fingerprint"}."""
    from fewtune.backbones.language.load import load_language_model

    model = load_language_model(folder, precision="float32")
    asked = model.settle(None if template == PLAIN else template)
    found: dict[str, Any] = {"fingerprint": model.fingerprint, "costs": {}, "scores": {}}
    for column in columns:
        writer = ModelWriter(model, asked, _settings(model, column))
        examples = [to_write(example, model.kind) for example in column.held_out]
        costs = writer.costs(examples)
        found["costs"][column.name] = [costs.nll.tolist(), costs.tokens.tolist(), costs.bytes.tolist()]
        found["scores"][column.name] = _scores(writer, costs, examples, column)
    return found


def _settings(model: LanguageModel, column: Column) -> Any:
    if column.train is None:
        return None
    none = np.zeros(len(column.train), dtype=np.int64)
    material = Material(column.train.texts, none, (), None, examples=column.train.examples, language_model=model)
    return long_enough(material)


def _scores(writer: ModelWriter, costs: Written, examples: list[Example], column: Column) -> dict[str, Any]:
    """Of the costs of all rows, and of texts written for some, evenly spread."""
    found = scores(costs, examples, groups=column.groups)
    plain = found.to_json()
    told = {name: plain[name] for name in found.intervals}
    if column.train is None or column.held_out.task != "generation":
        return told
    rows = sorted({round(place) for place in np.linspace(0, len(examples) - 1, min(TEXTS, len(examples))).tolist()})
    asked, part = [examples[row] for row in rows], costs.subset(rows)
    whole = Written(part.nll, part.tokens, part.bytes, tuple(writer.write(asked)))
    written = scores(whole, asked, groups=[column.groups[row] for row in rows])
    plain = written.to_json()
    return told | {name: plain[name] for name in written.intervals if name not in told}


def likelihoods(row: dict[str, Any], name: str) -> Likelihoods:
    """What the rows of a column cost, from what `examined` gave."""
    nll, tokens, size = row["costs"][name]
    return Likelihoods.of(nll, tokens, bytes_N=size)
