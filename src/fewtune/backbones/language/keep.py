"""Write a model that writes into a model folder, as transformers has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel


def save_language_model(language_model: LanguageModel, folder: Path) -> None:
    """Weights and config, unless a method has written a tuned model there already, and the tokenizer."""
    if not (folder / "config.json").exists():
        language_model.model.save_pretrained(folder, safe_serialization=True)
    language_model.tokenizer.save_pretrained(folder)
