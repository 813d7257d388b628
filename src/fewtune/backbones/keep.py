"""Write an encoder into a folder, so that transformers and sentence-transformers open it as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

_POOLING_WORDS = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens", "last": "lasttoken"}


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Weights and config, unless a method has written a tuned encoder there already; tokenizer and pooling."""
    if not (folder / "config.json").exists():
        encoder.model.save_pretrained(folder, safe_serialization=True)
    encoder.tokenizer.save_pretrained(folder)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules, indent=1))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "2_Normalize").mkdir(exist_ok=True)
    pooling = {"word_embedding_dimension": encoder.width, f"pooling_mode_{_POOLING_WORDS[encoder.pooling.mode]}": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling, indent=1))
    limit = {"max_seq_length": encoder.max_tokens, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(limit, indent=1))
