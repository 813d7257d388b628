"""What a study of classes begins with, whichever kinds of backbone it was given: encoders, or models that write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fewtune.data.base import Dataset
from fewtune.data.templates.base import Template
from fewtune.errors import UsageError
from fewtune.methods.registry import method_class
from fewtune.plural import counted
from fewtune.recipe import Recipe
from fewtune.study.progress import Progress

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder
    from fewtune.backbones.language.model import LanguageModel

Embed = Callable[[Sequence[str]], Any]


def open_to_classify(names: Sequence[str], progress: Progress) -> tuple[dict[str, Encoder], dict[str, LanguageModel]]:
    """Backbones that embed and those that write, by the names they were given; some do both. Raises BackboneError."""
    from fewtune.backbones.either import open_either

    opened = {name: open_either(name) for name in progress.through("Opening the backbone", names)}
    encoders = {name: one.encoder for name, one in opened.items() if one.encoder is not None}
    return encoders, {name: one.language_model for name, one in opened.items() if one.language_model is not None}


def likeness(encoders: Mapping[str, Encoder], models: Mapping[str, LanguageModel]) -> Embed | None:
    """What tells how alike texts are: not the states of a model that writes, which are all alike."""
    from fewtune.methods.generation.retrieval import default_encoder, encoder_there

    own = next((encoder.embed for name, encoder in encoders.items() if name not in models), None)
    if own is not None or not encoder_there():
        return own
    found: Embed = default_encoder().embed
    return found


def check_asking(dataset: Dataset, model: LanguageModel, asked: Template) -> list[str]:
    """Notes on how a model that writes is asked for labels. Raises UsageError for labels it cannot be asked for."""
    from fewtune.methods.labels.words import as_example, check_labels, label_template

    template = label_template(asked, model, dataset.classes)
    check_labels(template, model, dataset.classes)
    cut = sum(model.encode_prompt(as_example(text, template), template).cut > 0 for text in dataset.texts)
    long = f"{counted(cut, 'text is', 'texts are')} longer than the context of {model.context} tokens"
    return [*model.notes, *([f"{long}: cut at the beginning for {model.name}."] if cut else [])]


def check_kinds(asked: Sequence[str], found: Sequence[Recipe]) -> None:
    """Raises UsageError for a method that asks a model that writes, where none was named."""
    judged = {recipe.method.name for recipe in found}
    for name in asked:
        if name not in judged and method_class(name).reads_with == "language_model":
            raise UsageError(
                f"{name} asks a model that writes, and no backbone here is one. Name one beside the encoder: "
                "--backbone default --backbone starter, or a causal or seq2seq model's folder or Hub name."
            )


__all__ = ["check_asking", "check_kinds", "likeness", "open_to_classify"]
