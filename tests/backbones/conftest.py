"""Tiny models that write, made once."""

import pytest

from fewtune.backbones.language.load import load_language_model
from fewtune.testing.tiny_writers import make_tiny_writer


@pytest.fixture(scope="session")
def writer(tmp_path_factory):
    """`writer("llama", "byte_level", CHAT)`: opened, shared by tests that do not change it."""
    made = {}

    def opened(architecture="llama", tokenizer=None, chat_template=None, **options):
        key = (architecture, tokenizer, chat_template)
        if key not in made:
            place = tmp_path_factory.mktemp("writers") / "model"
            made[key] = make_tiny_writer(place, architecture, tokenizer=tokenizer, chat_template=chat_template)
        return load_language_model(made[key], **options)

    return opened
