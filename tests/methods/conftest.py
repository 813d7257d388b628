"""Tiny models that write, of three architectures."""

import pytest

from fewtune.backbones.language.load import load_language_model
from fewtune.testing.tiny_writers import CHAT, make_tiny_writer


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("writers")
    return {name: make_tiny_writer(place / name, name, chat_template=CHAT) for name in ("llama", "gpt2", "t5")}


@pytest.fixture(scope="module", params=["llama", "gpt2", "t5"])
def model(request, folders):
    return load_language_model(folders[request.param], precision="float32")


@pytest.fixture(scope="module")
def llama(folders):
    return load_language_model(folders["llama"], precision="float32")
