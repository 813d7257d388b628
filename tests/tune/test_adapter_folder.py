"""An adapter trained here is PEFT's: PEFT itself opens it and computes the same."""

import json

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModel, AutoTokenizer

from fewtune import model_folder
from fewtune.backbones.pooling import mean
from fewtune.backbones.prompts import VECTORS
from fewtune.backbones.quiet import quiet
from fewtune.errors import BackboneDamaged
from fewtune.methods.base import Material
from fewtune.methods.lora import LoRA
from fewtune.methods.prompt_tuning import PromptTuning
from fewtune.recipe import Recipe
from fewtune.testing.toys import toy_dataset
from fewtune.tune.loop import train


@pytest.fixture(scope="module")
def saved(tiny_encoder, tmp_path_factory):
    toys = toy_dataset(8)
    material = Material(toys.texts, np.asarray([0, 1, 2] * 8), toys.classes, tiny_encoder, seed=2)
    method = LoRA(least_steps=10, epochs=0.1, rate=1e-2)
    fitted = train(method, material)
    folder = tmp_path_factory.mktemp("result") / "model"
    model_folder.save(model_folder.Model(fitted, Recipe(method), toys.classes), tiny_encoder, folder)
    return folder, fitted, toys


def test_peft_opens_the_adapter_and_gives_the_same_logits(saved, tiny_encoder):
    folder, fitted, toys = saved
    with quiet():
        model = PeftModel.from_pretrained(AutoModel.from_pretrained(folder), folder / "adapter").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    coded = tokenizer(toys.texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(input_ids=coded["input_ids"], attention_mask=coded["attention_mask"]).last_hidden_state
    vectors = torch.nn.functional.normalize(mean(states, coded["attention_mask"]), dim=-1).numpy()
    np.testing.assert_allclose(
        fitted.head.logits(vectors), fitted.head.logits(fitted.body.embed(toys.texts)), atol=1e-4
    )
    assert not np.allclose(vectors, tiny_encoder.embed(toys.texts), atol=1e-3), "the adapter does something"


def test_the_folder_names_its_adapter_as_peft_does(saved):
    folder, _, _ = saved
    names = {path.name for path in (folder / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= names
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "FEATURE_EXTRACTION"


def test_training_an_adapter_left_the_encoder_alone(saved, tiny_encoder, tiny_folders):
    from fewtune.backbones.load import load_encoder

    fresh = load_encoder(tiny_folders("bert"))
    texts = ["a text no test has read before this one"]
    np.testing.assert_array_equal(tiny_encoder.embed(texts), fresh.embed(texts))


def test_peft_opens_a_prompt_and_gives_the_same_logits(tiny_encoder, tmp_path):
    toys = toy_dataset(8)
    material = Material(toys.texts, np.asarray([0, 1, 2] * 8), toys.classes, tiny_encoder, seed=2)
    method = PromptTuning(least_steps=10, epochs=0.1, rate=3e-2, tokens=6)
    fitted = train(method, material)
    model_folder.save(model_folder.Model(fitted, Recipe(method), toys.classes), tiny_encoder, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "adapter" / "adapter_config.json").read_text())
    assert (config["peft_type"], config["num_virtual_tokens"]) == ("PROMPT_TUNING", 6)
    with quiet():
        model = PeftModel.from_pretrained(AutoModel.from_pretrained(tmp_path / "model"), tmp_path / "model" / "adapter")
    coded = AutoTokenizer.from_pretrained(tmp_path / "model")(toys.texts, padding=True, return_tensors="pt")
    with torch.no_grad(), quiet():
        states = model.eval()(input_ids=coded["input_ids"], attention_mask=coded["attention_mask"]).last_hidden_state
    vectors = torch.nn.functional.normalize(mean(states[:, 6:], coded["attention_mask"]), dim=-1).numpy()
    np.testing.assert_allclose(
        fitted.head.logits(vectors), fitted.head.logits(fitted.body.embed(toys.texts)), atol=1e-4
    )
    again = model_folder.load(tmp_path / "model")
    np.testing.assert_allclose(again.predict_proba(toys.texts), fitted.predict_proba(toys.texts), atol=1e-5)
    start = method.start(material)
    assert not torch.allclose(fitted.body.learned()[VECTORS], start, atol=1e-3), "the prompt has moved"


def test_a_damaged_prompt_is_named(tiny_encoder, tmp_path):
    toys = toy_dataset(4)
    material = Material(toys.texts, np.asarray([0, 1, 2] * 4), toys.classes, tiny_encoder)
    method = PromptTuning(least_steps=1, epochs=0.01, tokens=2)
    model = model_folder.Model(train(method, material), Recipe(method), toys.classes)
    model_folder.save(model, tiny_encoder, tmp_path / "model")
    weights = tmp_path / "model" / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:40])
    with pytest.raises(BackboneDamaged, match="Fit again"):
        model_folder.load(tmp_path / "model")
    weights.unlink()
    with pytest.raises(BackboneDamaged, match=r"no adapter_model.safetensors"):
        model_folder.load(tmp_path / "model")
