"""Every way a backbone can be wrong has a name and says what to do; no pickle is opened."""

import json
import pickle
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fewtune.backbones.load import fingerprint, load_encoder
from fewtune.backbones.pooling import choose
from fewtune.errors import BackboneDamaged, BackboneError, BackboneMissing, UnsafeWeights
from fewtune.testing.tiny_backbones import make_tiny_backbone


@pytest.fixture
def folder(tiny_folders, tmp_path):
    """A copy to damage."""
    return shutil.copytree(tiny_folders("bert"), tmp_path / "model")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_names_that_are_not_there_and_no_network():
    with pytest.raises(BackboneMissing, match=r"nobody/nothing.*HF_HUB_OFFLINE is set.*--backbone"):
        load_encoder("nobody/nothing")
    with pytest.raises(BackboneMissing, match="could not be fetched"):
        load_encoder("bert-base-uncased")


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "a/b/c", "~/nothing-here"])
def test_paths_that_are_not_there(name):
    with pytest.raises(BackboneMissing, match="There is no folder"):
        load_encoder(name)


def test_a_name_that_no_hub_would_have():
    with pytest.raises(BackboneError):
        load_encoder("")
    with pytest.raises(BackboneMissing):
        load_encoder("what is this?")


def test_a_file_for_a_folder(folder):
    with pytest.raises(BackboneDamaged, match="is a file"):
        load_encoder(folder / "config.json")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.bin"])
def test_a_pickle_is_refused_unopened(folder, name):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UnsafeWeights, match=f"{name}.*refused"):
        load_encoder(folder)


def test_a_pickle_beside_safetensors_is_not_opened(folder):
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    (folder / "training_args.bin").write_bytes(pickle.dumps(Bomb()))
    assert load_encoder(folder).embed(["red"]).shape == (1, 32)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights(folder, share):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: int(share * weights.stat().st_size)])
    with pytest.raises(BackboneDamaged, match="Download the model again"):
        load_encoder(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"model_type": "no_such_model"}', b"{}"])
def test_damaged_config(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(BackboneDamaged):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_files(folder, name):
    (folder / name).unlink()
    with pytest.raises(BackboneDamaged, match=str(folder)):
        load_encoder(folder)


def test_an_empty_folder_and_one_of_other_things(tmp_path):
    with pytest.raises(BackboneDamaged, match=r"no config\.json"):
        load_encoder(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BackboneDamaged, match=r"no model\.safetensors"):
        load_encoder(tmp_path)


def test_missing_weights_are_named_not_made_up(folder):
    tensors = load_file(folder / "model.safetensors")
    name = next(key for key in sorted(tensors) if "layer.1" in key)
    save_file({key: value for key, value in tensors.items() if key != name}, folder / "model.safetensors")
    with pytest.raises(BackboneDamaged, match="lacks weights its config asks for"):
        load_encoder(folder)


def test_weights_of_another_shape(folder):
    edit(folder / "config.json", intermediate_size=48)
    with pytest.raises(BackboneDamaged):
        load_encoder(folder)


def test_a_missing_pooler_is_no_damage(folder):
    tensors = load_file(folder / "model.safetensors")
    without = {key: value for key, value in tensors.items() if "pooler" not in key}
    assert len(without) < len(tensors)
    vectors = load_encoder(folder).embed(["the dog"])
    save_file(without, folder / "model.safetensors")
    np.testing.assert_allclose(load_encoder(folder).embed(["the dog"]), vectors, atol=1e-6)


def test_a_tokenizer_of_another_model(folder):
    tensors = load_file(folder / "model.safetensors")
    key = next(key for key in tensors if "word_embeddings" in key)
    tensors[key] = tensors[key][:50].copy()
    save_file(tensors, folder / "model.safetensors")
    edit(folder / "config.json", vocab_size=50)
    with pytest.raises(BackboneDamaged, match="do not belong together"):
        load_encoder(folder)


def test_an_encoder_decoder_is_refused(tmp_path):
    from transformers import BartConfig, BartModel

    from fewtune.testing.tiny_backbones import tiny_tokenizer

    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    BartModel(BartConfig(vocab_size=120, **sizes, **heads)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(BackboneDamaged, match="not an encoder"):
        load_encoder(tmp_path)


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    canary = tmp_path / "ran"
    (folder / "modeling_evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Evil: pass\n")
    edit(folder / "config.json", auto_map={"AutoModel": "modeling_evil.Evil"}, model_type="evil")
    with pytest.raises(BackboneDamaged):
        load_encoder(folder)
    assert not canary.exists()


def test_pooling_comes_from_the_folder_files(tiny_folders):
    assert load_encoder(tiny_folders("bert")).pooling.mode == "mean"
    for asked, mode in (("mean", "mean"), ("cls", "cls"), ("max", "max"), ("lasttoken", "last")):
        encoder = load_encoder(tiny_folders("bert", asked))
        assert encoder.pooling.mode == mode
        assert encoder.pooling.source == "1_Pooling/config.json"
        assert encoder.max_tokens == 32


@pytest.mark.parametrize("asked", ["cls", "mean"])
def test_pooling_that_a_config_states(tiny_folders, tmp_path, asked):
    folder = shutil.copytree(tiny_folders("modernbert"), tmp_path / "model")
    edit(folder / "config.json", classifier_pooling=asked)
    assert load_encoder(folder).pooling.mode == asked


def test_the_newer_word_for_pooling(tiny_folders, tmp_path):
    folder = shutil.copytree(tiny_folders("bert", "mean"), tmp_path / "model")
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "cls"}))
    assert load_encoder(folder).pooling.mode == "cls"


@pytest.mark.parametrize(
    "content", ["", "{", "{}", '{"a": 1}', "[]", "[1]", '["x"]', "null", "3", '[{"type": "Pooling"}]']
)
@pytest.mark.parametrize("name", ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json"])
def test_odd_pooling_files_fall_back(tiny_folders, tmp_path, name, content):
    folder = shutil.copytree(tiny_folders("bert", "cls"), tmp_path / "model")
    (folder / name).write_text(content)
    # Without modules.json nothing asks for a pooling; a module without a path lies in the usual folder.
    intact = name == "sentence_bert_config.json" or (name == "modules.json" and content == '[{"type": "Pooling"}]')
    assert choose(folder, None).mode == ("cls" if intact else "mean")


def test_length_limits(tiny_folders, tmp_path):
    assert load_encoder(tiny_folders("bert")).max_tokens == 64
    folder = shutil.copytree(tiny_folders("roberta"), tmp_path / "model")
    edit(folder / "tokenizer_config.json", model_max_length=10**30)
    # 66 positions, counted from one after the padding token's.
    encoder = load_encoder(folder)
    assert encoder.max_tokens == 65
    assert np.isfinite(encoder.embed(["dog " * 100])).all()


def test_the_fingerprint_follows_the_weights_and_nothing_else(folder, tiny_folders):
    first = fingerprint(folder)
    assert first == fingerprint(tiny_folders("bert")) == load_encoder(folder).fingerprint
    (folder / "README.md").write_text("changed")
    assert fingerprint(folder) == first
    tensors = load_file(folder / "model.safetensors")
    key = next(iter(sorted(tensors)))
    tensors[key].flat[0] += 1
    save_file(tensors, folder / "model.safetensors")
    assert fingerprint(folder) != first


def test_two_seeds_are_two_backbones(tmp_path):
    one, two = make_tiny_backbone(tmp_path / "a", seed=1), make_tiny_backbone(tmp_path / "b", seed=2)
    assert fingerprint(one) != fingerprint(two)
    assert not np.allclose(load_encoder(one).embed(["dog"]), load_encoder(two).embed(["dog"]), atol=1e-3)


def test_opening_says_nothing(folder, capfd):
    load_encoder(folder).embed(["dog"])
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
