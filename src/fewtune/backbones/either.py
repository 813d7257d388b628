"""Open a backbone to tell classes apart, whichever kind it is: an encoder, or a model that writes.

A causal model is both: its states are embedded and tuned under a head as an encoder's are, and it can be asked for the
label in words. The two share their weights. A seq2seq model is asked and nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fewtune.backbones.language.load import STARTER, kind_of, load_language_model
from fewtune.backbones.load import DEFAULT, encoder_around, load_encoder, locate
from fewtune.errors import BackboneDamaged

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder
    from fewtune.backbones.language.model import LanguageModel


@dataclass(frozen=True)
class Opened:
    """A backbone in the forms it has."""

    encoder: Encoder | None
    language_model: LanguageModel | None


def open_either(name: str) -> Opened:
    """Open a backbone by the name it was given. Raises BackboneError."""
    if not is_writer(name):
        return Opened(load_encoder(name), None)
    model = load_language_model(name, precision="float32")
    return Opened(encoder_of(model) if model.kind == "causal" else None, model)


def is_writer(name: str) -> bool:
    """Whether a name leads to a model that writes; one that states how it is pooled was made to embed.

    `default` is the embedded encoder here, and the starter has a name of its own.
    """
    if name in (DEFAULT, STARTER):
        return name == STARTER
    folder = locate(name)
    if (folder / "modules.json").exists():
        return False
    if not (folder / "config.json").exists():
        return (folder / "adapter_config.json").exists()
    return _states_a_head(folder)


def _states_a_head(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return bool(config.get("architectures")) and bool(kind_of(folder))
    except (OSError, ValueError, AttributeError, BackboneDamaged):
        return False  # an encoder, or damaged: opening it as one says which


def encoder_of(model: LanguageModel) -> Encoder:
    """The body of a causal model, below its head, as an encoder."""
    encoder = encoder_around(model.model.base_model, model.tokenizer, model.name, model.folder)
    encoder.fingerprint = f"{model.fingerprint}-body"
    return encoder
