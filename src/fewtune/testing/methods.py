"""The promises of a `Method`. Subclass, give `method` and its kind of backbone, and all of them are tested:

class TestMine(MethodContract):
    @pytest.fixture
    def method(self): return Mine()
    @pytest.fixture
    def encoder(self): return load_encoder(make_tiny_backbone(folder))
"""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewtune import model_folder
from fewtune.backbones.encoder import Encoder
from fewtune.backbones.language.model import LanguageModel
from fewtune.methods.base import ClosedFormMethod, Fitted, FloatArray, Material, Method, TunedMethod, Watched
from fewtune.methods.registry import NAMES, method_class
from fewtune.recipe import Recipe
from fewtune.testing.toys import CLASSES, toy_dataset
from fewtune.tune.loop import train

NEW_TEXTS = ["my dog and a cat", "very red", "", "nothing of the sort", "the old hammer and the old hammer"]
LABELS = {name: place for place, name in enumerate(CLASSES)}


class MethodContract:
    """What every method promises, on toy rows."""

    learns = True
    """False for methods that read no label (zero-shot) or no text (majority)."""
    reload_tolerance = 1e-5
    """Largest difference of a probability after saving and loading; adapters merged on loading need more."""

    @pytest.fixture
    def method(self) -> Method:
        """The implementation under test."""
        raise NotImplementedError("give a fixture `method`")

    @pytest.fixture
    def encoder(self) -> Encoder | None:
        """For methods that embed: a backbone that can be trained in a second, like `tiny_backbones` makes."""
        return None

    @pytest.fixture
    def language_model(self) -> LanguageModel | None:
        """For methods that ask a model that writes: one that can be trained in a second, like `tiny_writers` makes."""
        return None

    @pytest.fixture
    def material(self, method: Method, encoder: Encoder | None, language_model: LanguageModel | None) -> Material:
        """Ten rows a class, an unlabelled pool, no groups."""
        assert encoder is not None or not method.embeds, "give a fixture `encoder`"
        assert language_model is not None or not method.asks, "give a fixture `language_model`"
        dataset = toy_dataset(10)
        return Material(
            texts=dataset.texts,
            labels=np.asarray([LABELS[label] for label in dataset.labels], dtype=np.int64),
            classes=tuple(CLASSES),
            encoder=encoder if method.embeds else None,
            language_model=language_model if method.asks else None,
            unlabelled=toy_dataset(8, seed=1).texts if method.uses_unlabelled else (),
            seed=3,
        )

    def test_name_leads_to_the_class(self, method: Method) -> None:
        assert method.name in NAMES
        assert method_class(method.name) is type(method)
        assert method.title

    def test_settings_survive_json(self, method: Method) -> None:
        plain = json.loads(json.dumps(method.settings()))
        assert type(method).from_settings(plain) == method
        recipe = Recipe(method)
        again = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
        assert again == recipe
        assert again.hash == recipe.hash

    def test_every_setting_is_part_of_the_recipe(self, method: Method) -> None:
        hashes = {Recipe(method).hash} | {Recipe(changed).hash for changed in variations(method)}
        assert len(hashes) == 1 + len(variations(method))

    def test_it_is_immutable(self, method: Method) -> None:
        for field in dataclasses.fields(method):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(method, field.name, None)

    def test_probabilities(self, method: Method, material: Material) -> None:
        probs_NC = fit(method, material).predict_proba(NEW_TEXTS)
        check_probabilities(probs_NC, len(NEW_TEXTS), len(material.classes))

    def test_no_texts_give_no_rows(self, method: Method, material: Material) -> None:
        assert fit(method, material).predict_proba([]).shape == (0, len(material.classes))

    def test_a_text_is_answered_alone_as_among_others(self, method: Method, material: Material) -> None:
        fitted = fit(method, material)
        together = fitted.predict_proba(NEW_TEXTS)
        for place in (4, 1, 0):
            alone = fitted.predict_proba([NEW_TEXTS[place]])[0]
            np.testing.assert_allclose(alone, together[place], atol=self.reload_tolerance)

    def test_same_seed_same_bits_whatever_chance_does_outside(self, method: Method, material: Material) -> None:
        import torch

        first = fit(method, material).predict_proba(NEW_TEXTS)
        # The point of the test is to stir what a run must not depend on.
        np.random.seed(11)
        with torch.random.fork_rng():
            torch.manual_seed(11)
            before = torch.random.get_rng_state()
            second = fit(method, material).predict_proba(NEW_TEXTS)
            assert torch.equal(torch.random.get_rng_state(), before), "a run moved the caller's random stream"
        np.testing.assert_array_equal(first, second)

    def test_an_earlier_run_leaves_no_trace(self, method: Method, material: Material) -> None:
        first = fit(method, material).predict_proba(NEW_TEXTS)
        shuffled = np.random.default_rng(0).permutation(material.labels)
        fit(method, dataclasses.replace(material, labels=shuffled, seed=99))
        np.testing.assert_array_equal(fit(method, material).predict_proba(NEW_TEXTS), first)

    def test_another_seed_differs_only_by_chance(self, method: Method, material: Material) -> None:
        first, second = (
            fit(method, dataclasses.replace(material, seed=seed)).predict_proba(NEW_TEXTS) for seed in (1, 2)
        )
        if isinstance(method, TunedMethod):
            assert not np.array_equal(first, second), "batches in another order give other weights"
        if not self.learns:
            np.testing.assert_array_equal(first, second)

    def test_material_is_left_as_it_was(self, method: Method, material: Material) -> None:
        texts, labels = list(material.texts), material.labels.copy()
        fit(method, material)
        assert list(material.texts) == texts
        np.testing.assert_array_equal(material.labels, labels)

    def test_a_class_without_rows(self, method: Method, material: Material) -> None:
        """A rare class may be missing from a fold: it keeps its column, and is not what the fold's rows say."""
        kept = [row for row, label in enumerate(material.labels) if label != 1]
        fold = dataclasses.replace(
            material, texts=[material.texts[row] for row in kept], labels=material.labels[kept], unlabelled=()
        )
        probs_NC = fit(method, fold).predict_proba(NEW_TEXTS)
        check_probabilities(probs_NC, len(NEW_TEXTS), len(material.classes))

    def test_one_class_only(self, method: Method, material: Material) -> None:
        rows = np.flatnonzero(material.labels == 2).tolist()
        fold = dataclasses.replace(material, texts=[material.texts[row] for row in rows], labels=material.labels[rows])
        check_probabilities(fit(method, fold).predict_proba(NEW_TEXTS), len(NEW_TEXTS), len(material.classes))

    def test_one_row_a_class(self, method: Method, material: Material) -> None:
        fold = dataclasses.replace(material, texts=list(material.texts)[:3], labels=material.labels[:3])
        check_probabilities(fit(method, fold).predict_proba(NEW_TEXTS), len(NEW_TEXTS), len(material.classes))

    def test_repeated_and_empty_training_texts(self, method: Method, material: Material) -> None:
        texts = [*list(material.texts)[:27], "", "", material.texts[0]]
        fitted = fit(method, dataclasses.replace(material, texts=texts))
        check_probabilities(fitted.predict_proba(NEW_TEXTS), len(NEW_TEXTS), len(material.classes))

    def test_groups(self, method: Method, material: Material) -> None:
        groups = [str(row // 6) for row in range(len(material.texts))]
        fitted = fit(method, dataclasses.replace(material, groups=groups))
        check_probabilities(fitted.predict_proba(NEW_TEXTS), len(NEW_TEXTS), len(material.classes))

    def test_it_learns(self, method: Method, material: Material) -> None:
        if not self.learns:
            pytest.skip("reads no label, or no text")
        new = toy_dataset(30, seed=7)
        answers = fit(method, material).predict_proba(new.texts).argmax(1)
        accuracy = float(np.mean([material.classes[a] == label for a, label in zip(answers, new.labels, strict=True)]))
        assert accuracy > 0.6, f"accuracy {accuracy:.2f} where the largest class has 0.33"

    def test_watching_held_out_rows_changes_nothing(self, method: Method, material: Material) -> None:
        if not isinstance(method, TunedMethod):
            pytest.skip("nothing is watched without training steps")
        plain = train(method, material)
        watched = train(method, material, watch=Watched(NEW_TEXTS[:3], np.asarray([0, 1, 2], dtype=np.int64)))
        np.testing.assert_array_equal(plain.predict_proba(NEW_TEXTS), watched.predict_proba(NEW_TEXTS))
        assert watched.log is not None
        assert watched.log.validation_loss

    def test_saved_and_pickled_it_answers_the_same(self, method: Method, material: Material, tmp_path: Path) -> None:
        fitted = fit(method, material)
        model = model_folder.Model(fitted, Recipe(method), material.classes, 1.3, 0.5)
        model_folder.save(model, material.encoder, tmp_path / "model")
        again = model_folder.load(tmp_path / "model")
        assert (again.recipe, again.classes, again.temperature, again.threshold) == (
            model.recipe,
            model.classes,
            1.3,
            0.5,
        )
        difference = np.abs(again.predict_proba(NEW_TEXTS) - model.predict_proba(NEW_TEXTS)).max()
        assert difference <= self.reload_tolerance
        handed_on = pickle.loads(pickle.dumps(again))  # as a pool of workers gets it
        np.testing.assert_array_equal(handed_on.predict_proba(NEW_TEXTS), again.predict_proba(NEW_TEXTS))
        suffixes = {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()}
        assert suffixes <= {".json", ".safetensors", ".txt", ".md", ".jinja"}, "only safetensors and plain text"

    def test_variations_are_kept_when_saved(self, method: Method, material: Material, tmp_path: Path) -> None:
        """What was fitted with other settings answers with those settings after loading, not with the defaults."""
        for number, changed in enumerate(variations(method, only=(int, float))):
            fitted = fit(changed, material)
            model = model_folder.Model(fitted, Recipe(changed), material.classes)
            model_folder.save(model, material.encoder, tmp_path / str(number))
            again = model_folder.load(tmp_path / str(number))
            difference = np.abs(again.predict_proba(NEW_TEXTS) - model.predict_proba(NEW_TEXTS)).max()
            assert difference <= self.reload_tolerance, changed
            if isinstance(method, TunedMethod):
                break  # one other setting is enough where each costs a training


def fit(method: Method, material: Material) -> Fitted:
    """Fit a method of either kind."""
    if isinstance(method, ClosedFormMethod):
        return method.fit(material)
    assert isinstance(method, TunedMethod)
    return train(method, material)


def check_probabilities(probs_NC: FloatArray, rows: int, classes: int) -> None:
    """[N, C], none negative, each row summing to one."""
    assert probs_NC.shape == (rows, classes)
    assert probs_NC.dtype == np.float64
    assert np.isfinite(probs_NC).all()
    assert (probs_NC >= 0).all()
    np.testing.assert_allclose(probs_NC.sum(1), 1.0, atol=1e-9)


def variations(method: Method, *, only: tuple[type, ...] = (int, float, bool, tuple)) -> list[Method]:
    """The method with each setting changed in turn."""
    found: list[Method] = []
    for field in dataclasses.fields(method):
        value: Any = getattr(method, field.name)
        if type(value) in only:
            found.append(dataclasses.replace(method, **{field.name: _other(value)}))
    return found


def _other(value: Any) -> Any:
    """Another value that could be meant for a setting."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (*value, 5.0)
    if isinstance(value, float) and value < 1:
        return value / 2 + 0.06  # shares stay shares
    return value + 1
