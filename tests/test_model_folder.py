"""A model folder is whole, opened by the ecosystem, and every damage to it has a name."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from fewtune import load, model_folder
from fewtune.errors import BackboneDamaged, BackboneError, FewtuneError, StoreError, UnsafeWeights, UsageError
from fewtune.methods.base import Material
from fewtune.methods.lora import LoRA
from fewtune.methods.majority import Majority
from fewtune.methods.probe import Probe
from fewtune.methods.zero_shot import ZeroShot
from fewtune.recipe import Recipe
from fewtune.testing.methods import fit
from fewtune.testing.toys import toy_dataset

TOYS = toy_dataset(6)
MATERIAL = Material(TOYS.texts, np.asarray([0, 1, 2] * 6), TOYS.classes, None)
METHODS = [Majority(), ZeroShot(), Probe(), LoRA(least_steps=3, epochs=0.1)]


@pytest.fixture(scope="module")
def saved(tiny_encoder, tmp_path_factory):
    """A model folder of each method, made once."""
    folders = {}
    for method in METHODS:
        fitted = fit(method, dataclasses.replace(MATERIAL, encoder=tiny_encoder))
        folders[method.name] = tmp_path_factory.mktemp("models") / "model"
        model_folder.save(model_folder.Model(fitted, Recipe(method), TOYS.classes), tiny_encoder, folders[method.name])
    return folders


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the probe's, to damage."""
    return shutil.copytree(saved["probe"], tmp_path / "model")


def test_a_result_folder_leads_to_its_model(folder):
    assert load(folder.parent).classes == load(folder).classes == TOYS.classes


@pytest.mark.parametrize("name", [method.name for method in METHODS])
def test_any_damage_to_the_card_has_a_name(saved, tmp_path, name):
    """Each value of `fewtune.json` gone, or replaced by one of another kind: named, or harmless, never a traceback."""
    folder = shutil.copytree(saved[name], tmp_path / "model")
    card = json.loads((folder / "fewtune.json").read_text())
    for key in [*card, *(("recipe", inner) for inner in card["recipe"])]:
        for value in ("gone", None, 3, -1, "text", [], {}, ["a"], {"a": 1}):
            changed = json.loads(json.dumps(card))
            holder, inner = (changed["recipe"], key[1]) if isinstance(key, tuple) else (changed, key)
            if value == "gone":
                del holder[inner]
            else:
                holder[inner] = value
            (folder / "fewtune.json").write_text(json.dumps(changed))
            try:
                probs = load(folder).predict_proba(["the dog"])
            except FewtuneError as error:
                assert str(error)  # noqa: PT017
            else:
                np.testing.assert_allclose(probs.sum(1), 1.0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_card(folder, content):
    (folder / "fewtune.json").write_bytes(content)
    with pytest.raises(BackboneDamaged, match="Fit again"):
        load(folder)


def test_a_card_of_a_later_format(folder):
    card = json.loads((folder / "fewtune.json").read_text())
    (folder / "fewtune.json").write_text(json.dumps(card | {"format": 99}))
    with pytest.raises(BackboneDamaged, match="format 99"):
        load(folder)


@pytest.mark.parametrize("name", [method.name for method in METHODS])
def test_any_missing_or_truncated_file_has_a_name_or_is_not_needed(saved, tmp_path, name):
    """Never a traceback, and never other answers in silence."""
    wanted = load(saved[name]).predict_proba(TOYS.texts)
    files = [path.relative_to(saved[name]) for path in sorted(saved[name].rglob("*")) if path.is_file()]
    assert len(files) >= (2 if name == "majority" else 8)
    for number, file in enumerate(files):
        for kind in ("missing", "truncated"):
            if kind == "truncated" and file.suffix not in (".safetensors", ".json"):
                continue
            folder = shutil.copytree(saved[name], tmp_path / f"{number}-{kind}")
            if kind == "missing":
                (folder / file).unlink()
            else:
                (folder / file).write_bytes((folder / file).read_bytes()[: (folder / file).stat().st_size // 2])
            try:
                found = load(folder).predict_proba(TOYS.texts)
            except FewtuneError as error:
                assert str(folder) in str(error)  # noqa: PT017
                assert "ownload" not in str(error)  # noqa: PT017
            else:
                assert file.suffix != ".safetensors", f"{file} {kind}"
                np.testing.assert_allclose(found, wanted, atol=1e-4, err_msg=f"{file} {kind}")


def test_a_pickle_for_an_adapter_is_refused(saved, tmp_path):
    folder = shutil.copytree(saved["lora"], tmp_path / "model")
    weights = folder / "adapter" / "adapter_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UnsafeWeights, match="refused"):
        load(folder)


def test_a_pickle_for_the_backbone_is_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeWeights, match="refused"):
        load(folder)


def test_a_head_of_other_classes(folder):
    card = json.loads((folder / "fewtune.json").read_text())
    (folder / "fewtune.json").write_text(json.dumps(card | {"classes": ["a", "b"]}))
    with pytest.raises(BackboneDamaged, match="3 classes"):
        load(folder)


def test_majority_of_other_classes(saved, tmp_path):
    folder = shutil.copytree(saved["majority"], tmp_path / "model")
    (folder / "majority.json").write_text("[0.5, 0.5]")
    with pytest.raises(BackboneDamaged):
        load(folder)


def test_a_head_of_another_width(saved, folder, tmp_path):
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros((3, 7), np.float32), "bias": np.zeros(3, np.float32)}, folder / "head.safetensors")
    with pytest.raises(BackboneError):
        load(folder)


def test_places_that_hold_no_model(tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        load(tmp_path / "nothing")
    with pytest.raises(UsageError, match="no model written by fewtune"):
        load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        load(tmp_path / "file")


def test_a_string_is_a_folder_too(folder):
    assert load(str(folder)).classes == TOYS.classes


def test_saving_over_a_model_replaces_it_whole(saved, folder, tiny_encoder):
    model = load(saved["majority"])
    model_folder.save(model, None, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["fewtune.json", "majority.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_saving_does_not_delete_what_is_no_model(saved, tmp_path, monkeypatch):
    model = load(saved["majority"])
    (tmp_path / "thesis.txt").write_text("years of work")
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "."):
        with pytest.raises(StoreError, match="would delete"):
            model_folder.save(model, None, folder)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(StoreError):
        model_folder.save(model, None, tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_failed_save_leaves_the_old_model(saved, folder, tiny_encoder, monkeypatch):
    before = load(folder).predict_proba(TOYS.texts)
    model = load(saved["majority"])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(model.fitted), "save", full)
    with pytest.raises(StoreError, match="Free some space"):
        model_folder.save(model, None, folder)
    np.testing.assert_array_equal(load(folder).predict_proba(TOYS.texts), before)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_temperature_softens_and_sharpens_without_changing_the_answer(folder):
    model = load(folder)
    plain = model.predict_proba(TOYS.texts)
    soft, sharp = (
        dataclasses.replace(model, temperature=t, threshold=None).predict_proba(TOYS.texts) for t in (4.0, 0.25)
    )
    np.testing.assert_array_equal(soft.argmax(1), plain.argmax(1))
    assert (soft.max(1) <= plain.max(1) + 1e-12).all()
    assert (sharp.max(1) >= plain.max(1) - 1e-12).all()
    power = plain ** (1 / 4.0)
    np.testing.assert_allclose(soft, power / power.sum(1, keepdims=True), atol=1e-6)


def test_transformers_and_sentence_transformers_layout(saved, tiny_encoder):
    from transformers import AutoModel, AutoTokenizer

    from fewtune.backbones.quiet import quiet

    folder = saved["probe"]
    with quiet():
        assert AutoModel.from_pretrained(folder).config.hidden_size == 32
        assert AutoTokenizer.from_pretrained(folder)("dog")["input_ids"] == tiny_encoder.tokens(["dog"])[0]
    modules = json.loads((folder / "modules.json").read_text())
    assert [module["type"].rsplit(".", 1)[1] for module in modules] == ["Transformer", "Pooling", "Normalize"]
    assert all((folder / module["path"]).is_dir() for module in modules)
    assert json.loads((folder / "1_Pooling" / "config.json").read_text())["pooling_mode_mean_tokens"] is True
