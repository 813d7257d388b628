"""The starter: a small English language model that needs no network. `path()` is its Hugging Face folder."""

from pathlib import Path

__version__ = "0.1.0"


def path() -> Path:
    """The folder with config.json, model.safetensors and the tokenizer's files."""
    return Path(__file__).parent / "model"
