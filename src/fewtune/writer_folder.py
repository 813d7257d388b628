"""The folder a fitted model that writes lives in: Hugging Face files, a PEFT adapter where one was trained.

Layout: `config.json`, `model.safetensors`, tokenizer files (transformers opens the folder), `adapter/` (PEFT),
`few_shot.json` (the rows put before a prompt), `fewtune.json` (recipe and task). Safetensors only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewtune.data.base import Example, Task
from fewtune.errors import BackboneDamaged, UsageError
from fewtune.methods.base import Writer, Written
from fewtune.methods.generation.base import ModelWriter, WritingMethod
from fewtune.model_folder import CARD, FORMAT, find, read_card, save_whole
from fewtune.recipe import Recipe

if TYPE_CHECKING:
    from fewtune.backbones.decoding.settings import Decoding


@dataclass(frozen=True)
class WritingModel:
    """A fitted model that writes."""

    fitted: Writer
    recipe: Recipe
    task: Task = "generation"

    def write(self, prompts: Sequence[str | Example], settings: Decoding | None = None) -> list[str]:
        """What it writes for each prompt: greedily, unless `settings` say otherwise."""
        return self.fitted.write([_example(prompt) for prompt in prompts], settings) if len(prompts) else []

    def costs(self, examples: Sequence[Example]) -> Written:
        """What the completions of `examples` cost it."""
        return self.fitted.costs(list(examples))


def _example(prompt: str | Example) -> Example:
    return prompt if isinstance(prompt, Example) else Example(prompt)


def save_writer(model: WritingModel, folder: Path) -> None:
    """Write the folder whole or not at all. Raises StoreError."""
    save_whole(folder, lambda temporary: _write(model, temporary))


def _write(model: WritingModel, folder: Path) -> None:
    from fewtune.backbones.language.keep import save_language_model
    from fewtune.backbones.quiet import quiet

    fitted = model.fitted
    assert isinstance(fitted, ModelWriter)
    with quiet():
        fitted.save(folder)
        save_language_model(fitted.language_model, folder)
    settings = fitted.settings
    card = {
        "format": FORMAT,
        "task": model.task,
        "recipe": {**model.recipe.to_json(), "template": model.recipe.template.to_json()},
        "backbone_fingerprint": fitted.language_model.fingerprint,
        "max_new_tokens": None if settings is None else settings.max_new_tokens,
    }
    (folder / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_writer(folder: str | Path) -> WritingModel:
    """Open a model folder, or a result folder that holds one as `model/`.

    Raises
    ------
    UsageError : there is no such folder, or it holds no model that writes.
    BackboneDamaged : a file is missing, unreadable, or of a format this version does not know.
    UnsafeWeights : weights are there as a pickle only.
    """
    from fewtune.backbones.decoding.settings import Decoding
    from fewtune.backbones.language.load import load_language_model

    folder = find(Path(folder))
    card: dict[str, Any] = read_card(folder)
    if card.get("task", "classification") == "classification":
        raise UsageError(f"{folder} holds a classifier: open it with fewtune.load.")
    recipe = Recipe.from_json(card["recipe"])
    method = type(recipe.method)
    if not issubclass(method, WritingMethod):
        raise BackboneDamaged(f"{folder / CARD} names {recipe.method.name}, which writes nothing. Fit again.")
    fitted = method.load_writer(folder, load_language_model(folder), recipe.template)
    most = card.get("max_new_tokens")
    if isinstance(fitted, ModelWriter) and isinstance(most, int) and most > 0:
        fitted.settings = Decoding(max_new_tokens=most)
    return WritingModel(fitted, recipe, card["task"])
