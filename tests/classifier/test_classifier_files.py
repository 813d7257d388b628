"""A fitted classifier in a pickle and in a folder answers as it did, with labels of the type they were given in."""

import copy
import dataclasses
import json
import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_validate

from fewtune import TextClassifier, load
from fewtune.classifier.files import LABELS
from fewtune.errors import BackboneDamaged, UsageError
from fewtune.methods.base import Material
from fewtune.methods.contrastive import Contrastive
from fewtune.methods.labels.zero_shot import LabelZeroShot
from fewtune.methods.lora import LoRA
from fewtune.methods.prompt_tuning import PromptTuning
from fewtune.methods.top_layers import TopLayers
from fewtune.methods.zero_shot import ZeroShot
from fewtune.model_folder import Model, save
from fewtune.recipe import Recipe
from fewtune.testing.methods import fit
from fewtune.testing.toys import toy_dataset

TOYS = toy_dataset(8)
NEW = toy_dataset(10, seed=5)
NUMBERS = dict(zip(TOYS.classes, (10, 2, 33), strict=True))
"""As names these would be sorted otherwise: 10 before 2."""
STEPS = {"least_steps": 3, "epochs": 0.1}


def make(tiny_folders, **settings):
    return TextClassifier(str(tiny_folders("bert")), **{"methods": ["probe"], "folds": 3, "repeats": 1, **settings})


@pytest.fixture(scope="module")
def fitted(tiny_folders):
    return make(tiny_folders).fit(TOYS.texts, [NUMBERS[label] for label in TOYS.labels])


def same(one, other):
    np.testing.assert_allclose(one.predict_proba(NEW.texts), other.predict_proba(NEW.texts), atol=1e-5)
    assert one.predict(NEW.texts).dtype == other.predict(NEW.texts).dtype
    np.testing.assert_array_equal(one.classes_, other.classes_)


def test_a_pickle_answers_as_the_fitted_one_to_the_bit(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(NEW.texts), fitted.predict_proba(NEW.texts))
    np.testing.assert_array_equal(again.predict(NEW.texts), fitted.predict(NEW.texts))
    assert again.get_params() == fitted.get_params()
    assert again.result_ == fitted.result_
    assert again.temperature_ == fitted.temperature_


def test_pickling_leaves_the_classifier_as_it_was(fitted):
    before = dict(vars(fitted))
    pickle.dumps(fitted)
    assert vars(fitted) == before
    assert fitted.fit_.model is fitted.model_


def test_joblib_and_copies(fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "classifier.joblib")
    same(joblib.load(tmp_path / "classifier.joblib"), fitted)
    same(copy.deepcopy(fitted), fitted)


def test_an_unfitted_classifier_pickles(tiny_folders):
    again = pickle.loads(pickle.dumps(make(tiny_folders, budget="1m")))
    assert again.budget == "1m"
    assert not hasattr(again, "model_")


def test_folds_give_their_classifiers_back_from_other_processes(tiny_folders):
    classifier = make(tiny_folders, methods=["majority"])
    with joblib.parallel_config(backend="multiprocessing"):  # forked: a process of its own takes long to import
        found = cross_validate(classifier, TOYS.texts, TOYS.labels, cv=2, n_jobs=2, return_estimator=True)
    assert [one.predict(NEW.texts).shape for one in found["estimator"]] == [(30,), (30,)]


def test_what_came_out_of_a_pickle_is_pickled_saved_cloned_and_fitted_again(fitted, tmp_path):
    once = pickle.loads(pickle.dumps(fitted))
    same(pickle.loads(pickle.dumps(once)), fitted)
    same(TextClassifier.load(once.save(tmp_path / "model")), fitted)
    assert not hasattr(clone(once), "model_")
    once.fit(TOYS.texts, TOYS.labels)
    same(pickle.loads(pickle.dumps(once)), once)
    assert once.predict(NEW.texts).dtype.kind == "U"


@pytest.mark.parametrize(
    "method",
    [ZeroShot(), Contrastive(steps=3), LoRA(**STEPS), TopLayers(**STEPS), PromptTuning(**STEPS), LabelZeroShot()],
    ids=lambda method: method.name,
)
def test_every_kind_of_model_pickles_and_is_saved_again(fitted, method, tiny_encoder, tiny_writer, tmp_path):
    material = Material(TOYS.texts, np.asarray([0, 1, 2] * 8), fitted.model_.classes, None)
    backbone = {"language_model": tiny_writer} if method.asks else {"encoder": tiny_encoder}
    classifier = copy.copy(fitted)
    classifier.__dict__ = dict(vars(fitted))
    learned = fit(method, dataclasses.replace(material, **backbone))
    classifier.fit_ = dataclasses.replace(fitted.fit_, encoder=None if method.asks else tiny_encoder)
    classifier.model_ = Model(learned, Recipe(method), fitted.model_.classes, temperature=1.5)
    again = pickle.loads(pickle.dumps(classifier))
    same(again, classifier)
    same(TextClassifier.load(again.save(tmp_path / "model")), classifier)


@pytest.mark.parametrize("kind", ["int64", "uint8", "float64", "bool", "object"])
def test_labels_come_back_from_a_folder_in_their_own_type(tiny_folders, tmp_path, kind):
    numbers = [2**70 + code for code in (1, 0, 2)] if kind == "object" else [10, 0, 33]
    number = dict(zip(TOYS.classes, numbers, strict=True))
    y = np.asarray([number[label] for label in TOYS.labels], dtype=kind)
    classifier = make(tiny_folders).fit(TOYS.texts, y)
    again = TextClassifier.load(classifier.save(tmp_path / "model"))
    assert again.classes_.dtype == y.dtype
    same(again, classifier)
    assert all(isinstance(name, str) for name in load(tmp_path / "model").classes)


def test_labels_that_are_strings_need_no_note(tiny_folders, tmp_path):
    classifier = make(tiny_folders).fit(TOYS.texts, TOYS.labels)
    folder = classifier.save(tmp_path / "model")
    assert not (folder / LABELS).exists()
    same(TextClassifier.load(folder), classifier)


def test_a_folder_without_the_note_gives_strings(fitted, tmp_path):
    """As those do that were saved before there was one, or by the command line; the order is that of strings."""
    save(fitted.model_, fitted.fit_.encoder, tmp_path / "out" / "model")
    again = TextClassifier.load(tmp_path / "out")
    assert again.classes_.tolist() == ["10", "2", "33"]
    assert again.predict(NEW.texts).tolist() == [str(label) for label in fitted.predict(NEW.texts)]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"type": "int64"}', b'{"type": "magic", "labels": [2, 10, 33]}']
    + [json.dumps({"type": "int64", "labels": labels}).encode() for labels in ([2, 10], [2, 10, 34], ["x"], None)],
)
def test_a_damaged_note_is_named(fitted, tmp_path, content):
    folder = fitted.save(tmp_path / "model")
    (folder / LABELS).write_bytes(content)
    with pytest.raises(BackboneDamaged, match=rf"{LABELS} is damaged or of another model"):
        TextClassifier.load(folder)


def test_places_that_hold_no_classifier(tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        TextClassifier.load(tmp_path / "nothing")
