"""Chat templates that cannot be used, and tokenizers that belong to another model, are noticed as a model is opened."""

import json

import pytest

from fewtune.backbones.decoding.settings import Decoding
from fewtune.backbones.decoding.write import write
from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Example
from fewtune.testing.tiny_writers import CHAT, make_tiny_writer

NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('not today') }}", "not today"),
        ("{% for m in %}", "TemplateSyntaxError"),
        ("{{ messages[7].content.x }}", "no element 7"),
        ("hello", "leaves out what the user says"),
        ("{{ messages[0].content }}", "leaves out what the assistant says"),
        ("{% for m in messages if m.role == 'assistant' %}{{ m.content }}{% endfor %}", "what the user says"),
    ],
)
def test_a_template_that_cannot_be_used_is_passed_over_and_named(tmp_path, template, why):
    model = load_language_model(make_tiny_writer(tmp_path, "llama", chat_template=template), precision="float32")
    assert len(model.notes) == 1
    assert "cannot be used" in model.notes[0]
    assert why in model.notes[0]
    assert model.settle().layout == "plain"
    assert len(write([Example("one")], model, settings=Decoding(max_new_tokens=2))) == 1


@pytest.mark.parametrize("template", [CHAT, NO_SYSTEM])
def test_one_that_can_is_kept(tmp_path, template):
    model = load_language_model(make_tiny_writer(tmp_path, "llama", chat_template=template), precision="float32")
    assert model.notes == []
    assert model.settle().layout == "chat"


def test_a_tokenizer_that_knows_few_of_the_tokens_is_said_to(tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    make_tiny_writer(tmp_path, "llama")
    tensors = load_file(tmp_path / "model.safetensors")
    name = "model.embed_tokens.weight"
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    for more, noted in ((20, 0), (900, 1)):
        size = config["vocab_size"] + more
        wide = torch.cat([tensors[name], torch.zeros(more, tensors[name].shape[1])])
        save_file({**tensors, name: wide}, tmp_path / "model.safetensors", metadata={"format": "pt"})
        (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": size}), encoding="utf-8")
        model = load_language_model(tmp_path, precision="float32")
        assert len(model.notes) == noted
        assert not noted or f"of the model's {size}" in model.notes[0]
