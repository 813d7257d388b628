"""A run (a recipe fitted on given rows with a seed), what it gives back, and how one is carried out.

Legend: N rows of the dataset, B held-out rows of a run, C classes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewtune.data.base import Dataset, Example
from fewtune.data.mixing import Mix
from fewtune.data.templates.base import PLAIN, Template
from fewtune.methods.base import (
    ClosedFormMethod,
    Fitted,
    FloatArray,
    IntArray,
    Material,
    TrainingLog,
    TunedMethod,
    Watched,
    Writer,
    Written,
)
from fewtune.recipe import Recipe
from fewtune.tune.thrift import Thrift

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder
    from fewtune.backbones.language.model import LanguageModel

Tick = Callable[[], None]


@dataclass(frozen=True, eq=False)
class Run:
    """A recipe, the rows it learns from, the rows it predicts, a seed."""

    recipe: Recipe
    train: IntArray
    test: IntArray
    """Held-out rows to predict; empty for a refit."""
    seed: int
    watch: bool = False
    """Whether the loss on the held-out rows is measured while training; it decides nothing."""
    write: bool = False
    """Whether a writer's own texts for the held-out rows are wanted, beside what theirs cost it."""


@dataclass(frozen=True)
class Outcome:
    """What a run gives back."""

    probs: FloatArray
    """[B, C] predictions for the run's test rows; of a writer, which knows no classes, [B, 0]."""
    seconds: float
    log: TrainingLog | None = None
    notes: tuple[str, ...] = ()
    trainable_parameters: int = 0
    written: Written | None = None
    """What a writer made of the run's test rows."""
    rejected: Written | None = None
    """Of pairs of answers, what the rejected ones cost; `written` is then of the chosen ones."""

    def lasting(self, seconds: float) -> Outcome:
        """The same, having taken so long."""
        return replace(self, seconds=seconds)


@dataclass(frozen=True)
class Context:
    """What all runs of a study share."""

    dataset: Dataset
    encoders: Mapping[str, Encoder]
    """By the name recipes use."""
    groups: Sequence[int] | None = None
    """[N] given groups merged with clusters of duplicates."""
    unlabelled: tuple[str, ...] = ()
    partial: Path | None = None
    """Folder where long runs leave word of how far they are; None keeps none."""
    language_models: Mapping[str, LanguageModel] = field(default_factory=dict)
    """By the name recipes use: the backbones that write."""
    thrift: Thrift = field(default_factory=Thrift)
    """How steps of training are made to fit memory; it changes no result."""
    mix: Mix | None = None
    """Of rows to write: the tasks they are of, and what every run learns again beside them."""

    @cached_property
    def labels(self) -> IntArray:
        """[N] indices into the dataset's classes; where there are none, the task of each row, else all alike."""
        if self.writes and self.wanted is None:
            tasks = () if self.mix is None else self.mix.task_N
            return np.asarray(tasks or [0] * len(self.dataset), dtype=np.int64)
        place = {name: index for index, name in enumerate(self.dataset.classes)}
        return np.asarray([place[label] for label in self.dataset.labels], dtype=np.int64)

    @property
    def backbones(self) -> dict[str, Encoder | LanguageModel]:
        """All that are open, by the name recipes use; of one that both embeds and writes, the model that writes."""
        return {**self.encoders, **self.language_models}

    @property
    def wanted(self) -> NDArray[np.bool_] | None:
        """[N] whether each row's answer is wanted, where rows are single answers; else None."""
        from fewtune.data.preferences import WANTED, are_pairs

        if self.dataset.task != "preference" or are_pairs(self.dataset):
            return None
        return np.asarray([label == WANTED for label in self.dataset.labels])

    @property
    def writes(self) -> bool:
        """Whether the rows are prompts and completions."""
        return self.dataset.task != "classification"

    @cached_property
    def _fingerprint(self) -> str:
        pool = hashlib.sha256(json.dumps(list(self.unlabelled)).encode()).hexdigest()
        groups = None if self.groups is None else list(map(int, self.groups))
        mixed = [] if self.mix is None else [self.mix.fingerprint]
        plain = json.dumps([self.dataset.fingerprint, pool, groups, *mixed])
        return hashlib.sha256(plain.encode()).hexdigest()

    def key(self, run: Run) -> str:
        """Hash of recipe, rows, seed, backbone and arithmetic: what is equal here is never computed twice."""
        backbone = self.encoders.get(run.recipe.backbone) or self.language_models.get(run.recipe.backbone)
        parts = [
            run.recipe.to_json(),
            self._fingerprint,
            run.train.tolist(),
            run.test.tolist(),
            run.seed,
            run.watch,
            backbone.fingerprint if backbone is not None and run.recipe.method.reads_text else None,
            arithmetic(),
            *(["written"] if run.write else []),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]

    def render(self, recipe: Recipe) -> Callable[[str], str]:
        """What turns a text into what the recipe's backbone reads."""
        return self.templates(recipe.template, recipe.backbone)

    def label_template(self, recipe: Recipe) -> Template:
        """How the recipe's language model is asked for a label."""
        from fewtune.methods.labels.words import label_template

        return label_template(recipe.template, self.language_models[recipe.backbone], self.dataset.classes)

    @cached_property
    def templates(self) -> Callable[[Template, str], Callable[[str], str]]:
        """Templates bound to a backbone's tokenizer, each once."""

        @cache
        def bound(template: Template, backbone: str) -> Callable[[str], str]:
            # Each text once for all runs: they render the same few hundred rows over and over.
            return cache(template.bind(self.encoders[backbone].tokenizer))

        return bound

    def texts(self, recipe: Recipe) -> list[str]:
        """[N] what the recipe's backbone reads of each row."""
        return list(map(self.render(recipe), self.dataset.texts))

    def held_out(self, run: Run) -> list[str]:
        """[B] the run's test rows as its backbone reads them."""
        texts = [self.dataset.examples[row].text for row in run.test]
        return list(map(self.render(run.recipe), texts)) if run.recipe.method.embeds else texts

    def examples(self, rows: IntArray) -> list[Example]:
        """Some of the rows, whole."""
        return [self.dataset.examples[row] for row in rows]

    def warm(self, recipe: Recipe) -> None:
        """Have the backbone compute now what every run of a recipe will ask it for: workers then share it."""
        if self.writes or recipe.method.asks:
            recipe.method.warm_to_write(self.language_models[recipe.backbone], self.dataset.examples)
        elif recipe.method.reads_text:
            recipe.method.warm(self.encoders[recipe.backbone], self.texts(recipe))

    def material(self, run: Run) -> Material:
        """The training side of a run; nothing of its test rows is in it."""
        if self.writes:
            return self._to_write(run)
        held_out = {self.dataset.examples[row].text for row in run.test}
        method = run.recipe.method
        render = self.render(run.recipe) if method.embeds else str
        template = run.recipe.template
        named = template.words or template.pattern != PLAIN.pattern
        return Material(
            texts=[render(self.dataset.examples[row].text) for row in run.train],
            labels=self.labels[run.train],
            classes=self.dataset.classes,
            encoder=self.encoders[run.recipe.backbone] if method.embeds else None,
            # An unlabelled copy of a held-out row would let its label in by the back door.
            unlabelled=[render(text) for text in self.unlabelled if text not in held_out],
            groups=None if self.groups is None else [str(self.groups[row]) for row in run.train],
            seed=run.seed,
            names=tuple(template.texts_of(self.dataset.classes)) if named else (),
            language_model=self.language_models[run.recipe.backbone] if method.asks else None,
            template=self.label_template(run.recipe) if method.asks else PLAIN,
        )

    def _to_write(self, run: Run) -> Material:
        examples = self.examples(run.train)
        return Material(
            texts=[example.prompt for example in examples],
            labels=self.labels[run.train],
            classes=(),
            encoder=None,
            groups=None if self.groups is None else [str(self.groups[row]) for row in run.train],
            seed=run.seed,
            examples=examples,
            language_model=self.language_models[run.recipe.backbone],
            template=run.recipe.template,
            mix=self._mix(run),
        )

    def _mix(self, run: Run) -> Mix | None:
        """What a run mixes; nothing of its test rows is replayed."""
        if self.mix is None:
            return None
        found = self.mix.subset(run.train.tolist()).without(self.examples(run.test))
        return None if found.plain else found


@lru_cache(maxsize=1)
def arithmetic() -> tuple[str, ...]:
    """What decides the bits of a result beside recipe and rows: a store never mixes results across these."""
    from importlib.metadata import version

    from fewtune.backbones.precision import detect, device

    return (version("fewtune"), version("torch"), version("scikit-learn"), detect(), device().type)


def fit(run: Run, context: Context, *, tick: Tick | None = None) -> Fitted:
    """Carry out the learning half of a run."""
    method, material = run.recipe.method, context.material(run)
    if isinstance(method, ClosedFormMethod):
        return method.fit(material)
    from fewtune.tune.loop import train

    assert isinstance(method, TunedMethod)
    partial = None if context.partial is None else context.partial / f"{context.key(run)}.safetensors"
    how: dict[str, Any] = {"tick": tick, "checkpoint": partial, "thrift": context.thrift}
    return train(method, material, watch=watched(run, context), **how)


def watched(run: Run, context: Context) -> Watched | None:
    """The held-out rows of a run, when their loss is to be measured while training."""
    if not run.watch or not len(run.test):
        return None
    if context.writes:
        return Watched((), context.labels[run.test], context.examples(run.test))
    return Watched(context.held_out(run), context.labels[run.test])


def carry_out(run: Run, context: Context, *, tick: Tick | None = None) -> Outcome:
    """Fit and predict."""
    started = time.perf_counter()
    fitted = fit(run, context, tick=tick)
    return outcome(run, fitted, context).lasting(time.perf_counter() - started)


def outcome(run: Run, fitted: Fitted, context: Context) -> Outcome:
    """What a fitted run gives back."""
    if isinstance(fitted, Writer):
        written, none = written_by(fitted, context.examples(run.test), write=run.write), np.zeros((len(run.test), 0))
        rejected = rejected_by(fitted, context.examples(run.test))
        return Outcome(none, 0.0, fitted.log, fitted.notes, fitted.trainable_parameters, written, rejected)
    probs_BC = fitted.predict_proba(context.held_out(run))
    return Outcome(probs_BC, 0.0, fitted.log, fitted.notes, fitted.trainable_parameters)


def written_by(writer: Writer, examples: Sequence[Example], *, write: bool) -> Written:
    """What completions cost a writer and, where asked, what it writes itself."""
    costs = writer.costs(examples)
    return replace(costs, texts=tuple(writer.write(examples))) if write else costs


def rejected_by(writer: Writer, examples: Sequence[Example]) -> Written | None:
    """What the rejected answers of pairs cost a writer; None where rows are no pairs."""
    from fewtune.data.preferences import rejected_of

    if not examples or examples[0].rejected is None:
        return None
    return writer.costs([rejected_of(example) for example in examples])
