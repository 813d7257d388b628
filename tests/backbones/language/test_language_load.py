"""Every way a model that writes can be wrong has a name and says what to do; adapters stand on their base."""

import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Example
from fewtune.data.templates import Template
from fewtune.errors import BackboneDamaged, BackboneMissing, UnsafeWeights, UsageError
from fewtune.testing.tiny_writers import make_tiny_writer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return {name: make_tiny_writer(tmp_path_factory.mktemp("writers") / name, name) for name in ("llama", "gpt2", "t5")}


@pytest.fixture
def folder(made, tmp_path):
    """A copy to damage."""
    return shutil.copytree(made["llama"], tmp_path / "model")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(("name", "kind"), [("llama", "causal"), ("gpt2", "causal"), ("t5", "seq2seq")])
def test_each_kind_opens_frozen(made, name, kind):
    model = load_language_model(made[name])
    assert model.kind == kind
    assert not any(parameter.requires_grad for parameter in model.model.parameters())
    assert not model.model.training
    assert model.context == 512
    assert model.device.type == "cpu"
    assert model.dtype == torch.float32
    assert load_language_model(made[name]).fingerprint == model.fingerprint


def test_what_the_tokenizer_puts_first_and_last(made):
    llama, gpt2, t5 = (load_language_model(made[name]) for name in ("llama", "gpt2", "t5"))
    assert llama.lead == (llama.tokenizer.bos_token_id,)
    assert gpt2.lead == ()
    assert gpt2.start_id == gpt2.end_id
    assert t5.lead == ()


def test_a_missing_padding_token_is_made_up_from_the_end(made):
    model = load_language_model(made["llama"])
    assert model.pad_id == model.end_id
    assert model.tokenizer.pad_token == "</s>"


def test_a_model_without_an_end_says_so_and_still_encodes(folder):
    edit(folder / "config.json", eos_token_id=None)
    edit(folder / "tokenizer_config.json", eos_token=None)
    model = load_language_model(folder)
    assert model.end_id is None
    assert any("no token that ends" in note for note in model.notes)
    found = model.encode(Example("red", completion="one"), Template("plain"))
    assert found.counted_tokens >= 1


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "a/b/c"])
def test_paths_that_are_not_there(name):
    with pytest.raises(BackboneMissing, match="There is no folder"):
        load_language_model(name)


def test_names_that_are_not_to_be_had():
    with pytest.raises(BackboneMissing, match=r"nobody/nothing.*HF_HUB_OFFLINE is set"):
        load_language_model("nobody/nothing")


def test_the_starter_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setattr("fewtune.backbones.language.load.STARTER_PACKAGE", "no_such_package_here")
    with pytest.raises(BackboneMissing, match=r"starter.*pip install fewtune-starter"):
        load_language_model()


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def test_a_pickle_is_refused_unopened(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UnsafeWeights, match="refused"):
        load_language_model(folder)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_truncated_weights(folder, share):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: int(share * weights.stat().st_size)])
    with pytest.raises(BackboneDamaged, match="Download it again"):
        load_language_model(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"model_type": "no_such_model"}', b"{}"])
def test_damaged_config(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(BackboneDamaged):
        load_language_model(folder)


def test_a_missing_tokenizer(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(BackboneDamaged, match="no tokenizer"):
        load_language_model(folder)


def test_a_tokenizer_of_another_model(made, folder):
    for path in made["gpt2"].glob("tokenizer*"):
        shutil.copy(path, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][:200].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    edit(folder / "config.json", vocab_size=200)
    with pytest.raises(BackboneDamaged, match="do not belong together"):
        load_language_model(folder)


def test_weights_that_are_missing_are_named_not_made_up(folder):
    tensors = load_file(folder / "model.safetensors")
    name = next(key for key in sorted(tensors) if "layers.1" in key)
    kept = {key: value for key, value in tensors.items() if key != name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneDamaged, match="lacks weights its config asks for"):
        load_language_model(folder)


def test_an_encoder_writes_nothing(tiny_folders):
    with pytest.raises(BackboneDamaged, match="BertModel, which writes nothing"):
        load_language_model(tiny_folders("bert"))


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    canary = tmp_path / "ran"
    (folder / "modeling_evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Evil: pass\n")
    edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"}, model_type="evil")
    with pytest.raises(BackboneDamaged):
        load_language_model(folder)
    assert not canary.exists()


def test_the_context_can_be_made_shorter_and_never_longer(made):
    assert load_language_model(made["llama"], context=64).context == 64
    assert load_language_model(made["llama"], context=9999).context == 512
    with pytest.raises(UsageError, match="holds nothing"):
        load_language_model(made["llama"], context=2)


def test_precision_is_what_is_asked_for(made):
    model = load_language_model(made["llama"], precision="bf16")
    assert {parameter.dtype for parameter in model.model.parameters()} == {torch.bfloat16}
    assert load_language_model(made["llama"], precision="float32").dtype == torch.float32


def adapted(base, folder, **config):
    """A LoRA adapter with weights that do something, as PEFT writes it."""
    from peft import LoraConfig, get_peft_model

    from fewtune.backbones.quiet import quiet

    with quiet():
        whole = get_peft_model(load_language_model(base).model, LoraConfig(r=4, task_type="CAUSAL_LM", **config))
    torch.manual_seed(1)
    for name, parameter in whole.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    whole.save_pretrained(folder)
    return whole


def logits(model, ids=(5, 300, 301)):
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits


def test_an_adapter_is_opened_on_the_base_that_it_names(made, tmp_path):
    whole = adapted(made["llama"], tmp_path / "adapter", target_modules=["q_proj", "v_proj"])
    edit(tmp_path / "adapter" / "adapter_config.json", base_model_name_or_path=str(made["llama"]))
    model = load_language_model(tmp_path / "adapter")
    torch.testing.assert_close(logits(model.model), logits(whole), atol=1e-5, rtol=1e-4)
    base = load_language_model(made["llama"])
    assert not torch.allclose(logits(model.model), logits(base.model), atol=1e-3)
    assert model.fingerprint.startswith(base.fingerprint)
    assert model.fingerprint != base.fingerprint


def test_the_folder_of_a_fit_is_its_base_and_its_adapter_and_brings_its_template(made, tmp_path):
    folder = shutil.copytree(made["llama"], tmp_path / "fit" / "model")
    whole = adapted(made["llama"], folder / "adapter", target_modules=["q_proj"])
    recipe = {"method": "lora", "backbone": "somewhere", "template": Template("instruction", "Say it").to_json()}
    (folder / "fewtune.json").write_text(json.dumps({"format": 1, "task": "generation", "recipe": recipe}))
    for place in (folder, tmp_path / "fit"):
        model = load_language_model(place)
        torch.testing.assert_close(logits(model.model), logits(whole), atol=1e-5, rtol=1e-4)
        assert model.settle().instruction == "Say it"


def test_adapters_that_cannot_be_opened(made, tmp_path):
    folder = tmp_path / "adapter"
    adapted(made["llama"], folder, target_modules=["q_proj"])
    edit(folder / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(BackboneDamaged, match="does not name the model"):
        load_language_model(folder)
    edit(folder / "adapter_config.json", base_model_name_or_path="nobody/nothing")
    with pytest.raises(BackboneMissing, match=r"trained on nobody/nothing"):
        load_language_model(folder)
    edit(folder / "adapter_config.json", base_model_name_or_path=str(made["gpt2"]))
    with pytest.raises(BackboneDamaged, match="could not be opened on its model"):
        load_language_model(folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(UnsafeWeights, match="refused"):
        load_language_model(folder)
    (folder / "adapter_model.bin").unlink()
    with pytest.raises(BackboneDamaged, match="no adapter_model"):
        load_language_model(folder)
