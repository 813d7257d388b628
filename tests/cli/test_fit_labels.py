"""`fewtune fit` of classes with a model that writes beside an encoder, from end to end on tiny random models."""

import contextlib
import csv
import json

import numpy as np
import pytest

from fewtune import TextClassifier, load
from fewtune.data.templates.base import Template
from fewtune.errors import UsageError
from fewtune.fitting import fit, laid_out, rungs
from fewtune.study.progress import Progress
from fewtune.study.settings import Settings
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.toys import toy_dataset

QUICK = ["label_lora.least_steps=30", "label_lora.epochs=1", "label_lora.rate=5e-3", "label_lora.batch_size=30"]
QUICK += ["label_lora.alpha=64", "label_few_shot.choose=tfidf", "label_few_shot.shots=2"]
LIMITS = {"folds": 2, "repeats": 1, "executor": "serial", "changes": tuple(QUICK)}
LABELS = ("label_zero_shot", "label_few_shot", "label_lora")


def put(path, dataset):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *((one.text, one.label) for one in dataset)])
    return path


def command(*given):
    """Run a command; its exit status."""
    from fewtune.cli.main import run

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit):
        patch.setattr("sys.argv", ["fewtune", *map(str, given)])
        return run()
    return None


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return make_tiny_writer(tmp_path_factory.mktemp("writer") / "llama", tokenizer="word_pieces")


@pytest.fixture(scope="module")
def place(writer, tiny_folders, tmp_path_factory):
    """A fit with an encoder and a model that writes, its winner being the tuned one by the others' being left out."""
    place = tmp_path_factory.mktemp("fit")
    put(place / "train.csv", toy_dataset(20))
    put(place / "test.csv", toy_dataset(6, seed=7))
    given = ["--backbone", tiny_folders("bert"), "--backbone", writer, "--folds", 2, "--repeats", 1, "--budget", "none"]
    # A list of the labels in every prompt is more than a model of random weights can learn to pass over.
    (place / "one.json").write_text('{"layout": "instruction", "instruction": "one"}')
    given += ["--executor", "serial", "--test", place / "test.csv", "--template", place / "one.json"]
    given += ["--out", place / "out"]
    given += [part for said in QUICK for part in ("--set", said)]
    given += [part for name in (*LABELS, "probe") for part in ("--method", name)]
    command("fit", place / "train.csv", *given)
    return place


@pytest.fixture(scope="module")
def result(place):
    return json.loads((place / "out" / "result.json").read_text())


def test_both_kinds_of_backbone_are_rungs_of_one_ladder(result):
    names = [(rung["name"], rung["status"]) for rung in result["ladder"]]
    assert names == [
        (name, "judged") for name in ("majority", "probe", "label_zero_shot", "probe", "label_few_shot", "label_lora")
    ]
    assert result["task"] == "classification"
    for rung in result["ladder"]:
        assert {"accuracy", "macro_f1", "log_loss"} <= set(rung["cv"])
    assert len({rung["backbone"] for rung in result["ladder"]} - {None}) == 2


def test_the_recipe_states_how_labels_are_asked_for(result, alone):
    for rung in result["ladder"]:
        if rung["name"] in LABELS:
            assert (rung["recipe"]["template"]["layout"], rung["recipe"]["template"]["instruction"]) == (
                "instruction",
                "one",
            )
    for model in alone[1].values():
        assert model.recipe.template.layout == "instruction"
        assert "animals, colours, tools" in model.recipe.template.instruction


def test_tuning_on_the_label_beats_always_saying_the_commonest(result):
    (tuned,) = [rung for rung in result["ladder"] if rung["name"] == "label_lora"]
    majority = result["ladder"][0]["cv"]["accuracy"]["mean"]
    assert tuned["cv"]["accuracy"]["mean"] > majority + 0.1
    assert tuned["trainable_parameters"] > 0
    assert tuned["curves"]
    assert tuned["against_zero_shot"]["other"] == "label_zero_shot"


def test_the_page_names_the_methods_and_both_backbones(place, writer):
    page = (place / "out" / "report.html").read_text()
    for words in (
        "Zero-shot prompt, labels scored",
        "Few-shot prompt, labels scored",
        "LoRA on the label",
        str(writer),
    ):
        assert words in page


@pytest.fixture(scope="module")
def alone(writer, tmp_path_factory):
    """A fit of the tuned rung that is made the winner, saved."""
    from fewtune import model_folder
    from fewtune.recipe import Recipe

    folder = tmp_path_factory.mktemp("alone")
    settings = Settings(backbones=(str(writer),), methods=LABELS, **LIMITS)
    with laid_out(toy_dataset(10), settings, progress=Progress()) as (evaluator, _):
        saved = {}
        for recipe in rungs(settings, evaluator.context):
            if recipe.method.name in LABELS:
                fitted = evaluator.refit(recipe)
                model = model_folder.Model(fitted, recipe, evaluator.context.dataset.classes, 1.5, 0.4)
                model_folder.save(model, None, folder / recipe.method.name)
                assert isinstance(recipe, Recipe)
                saved[recipe.method.name] = model
    return folder, saved


@pytest.mark.parametrize("name", LABELS)
def test_a_saved_folder_answers_as_what_was_fitted(alone, name):
    folder, saved = alone
    texts = [*toy_dataset(4, seed=3).texts, "", "my dog " * 300]
    again = load(folder / name)
    np.testing.assert_allclose(again.predict_proba(texts), saved[name].predict_proba(texts), atol=1e-4)
    assert (again.temperature, again.threshold, again.recipe) == (1.5, 0.4, saved[name].recipe)
    assert (folder / name / "adapter").exists() == (name == "label_lora")


def test_predict_reads_the_folder_and_abstains(alone, tmp_path):
    folder, _ = alone
    put(tmp_path / "new.csv", toy_dataset(3, seed=9))
    command("predict", folder / "label_lora", tmp_path / "new.csv", "--out", tmp_path / "said.csv")
    rows = list(csv.DictReader((tmp_path / "said.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 9
    assert all((row["sure"].lower() == "true") == (float(row["probability"]) >= 0.4) for row in rows)


@pytest.mark.parametrize("name", LABELS)
def test_a_damaged_folder_is_named(alone, tmp_path, name):
    import shutil

    from fewtune.errors import BackboneDamaged

    for number, content in enumerate(("", "[]", "{}")):
        broken = tmp_path / str(number)
        shutil.copytree(alone[0] / name, broken)
        (broken / "labels.json").write_text(content)
        with pytest.raises(BackboneDamaged, match="is damaged"):
            load(broken)


def test_folds_are_those_of_the_encoder(writer, tiny_folders):
    """Every rung is judged on the same held-out rows, and what is paired is paired by row."""
    settings = Settings(
        backbones=(str(tiny_folders("bert")), str(writer)), methods=("probe", "label_zero_shot"), **LIMITS
    )
    found = fit(toy_dataset(8), settings)
    judged = [rung.judged.oof for rung in found.climb.rungs if rung.judged is not None]
    assert len(judged) == 4
    for one in judged[1:]:
        for mine, first in zip(one.held_out, judged[0].held_out, strict=True):
            np.testing.assert_array_equal(mine, first)


def test_shuffled_labels_are_no_better_than_the_majority(writer):
    settings = Settings(backbones=(str(writer),), methods=("probe", "label_lora"), **LIMITS)
    result = fit(toy_dataset(10, shuffled=True), settings).result
    assert result["verdict"]["against_majority"]["verdict"] != "better"
    assert result["verdict"]["sentence"].startswith("Do not rely on this model")


def test_a_seq2seq_model_alone_is_asked_and_nothing_else(tmp_path):
    folder = make_tiny_writer(tmp_path / "t5", "t5")
    settings = Settings(backbones=(str(folder),), methods=("label_zero_shot", "probe"), **LIMITS)
    found = fit(toy_dataset(6), settings)
    assert [rung.recipe.method.name for rung in found.climb.rungs] == ["majority", "label_zero_shot"]
    assert found.result["verdict"]["against_zero_shot"]["other"] == "label_zero_shot"


def test_what_a_causal_model_is_tried_with_unasked(writer):
    settings = Settings(backbones=(str(writer),), **LIMITS)
    with laid_out(toy_dataset(6), settings, progress=Progress()) as (evaluator, _):
        names = [recipe.method.name for recipe in rungs(settings, evaluator.context)]
        asked = Settings(backbones=(str(writer),), methods=("full",), **LIMITS)
        wished = [recipe.method.name for recipe in rungs(asked, evaluator.context)]
    assert names == ["majority", "label_zero_shot", "probe", "label_few_shot", "label_lora", "top_layers"]
    assert wished == ["majority", "probe", "full"]


def test_a_method_that_asks_needs_a_model_that_writes(tiny_folders):
    settings = Settings(backbones=(str(tiny_folders("bert")),), methods=("label_lora",), **LIMITS)
    with pytest.raises(UsageError, match=r"label_lora asks a model that writes.*--backbone starter"):
        fit(toy_dataset(6), settings)


def test_words_of_labels_are_checked_before_anything_is_fitted(writer):
    words = Template().with_words({"animals": "red", "tools": "red"})
    with pytest.raises(UsageError, match="'animals' and 'tools' are both called 'red'"):
        fit(toy_dataset(6), Settings(backbones=(str(writer),), template=words, **LIMITS))


def test_the_estimator_takes_words_and_saves(writer, tmp_path):
    rows = toy_dataset(6)
    classifier = TextClassifier(
        str(writer), methods=["label_zero_shot"], words={"animals": "dog"}, folds=2, repeats=1, executor="serial"
    )
    classifier.fit(rows.texts, rows.labels)
    (rung,) = [rung for rung in classifier.ladder_ if rung["name"] == "label_zero_shot"]
    assert rung["recipe"]["template"]["words"] == {"animals": "dog"}
    classifier.save(tmp_path / "model")
    np.testing.assert_allclose(
        load(tmp_path / "model").predict_proba(["red"])[0], classifier.predict_proba(["red"])[0], atol=1e-5
    )


def test_ray_says_that_it_carries_no_model_that_writes(tiny_writer):
    from fewtune.tune.executors.ray_worker import Parcel
    from fewtune.tune.run import Context

    with pytest.raises(UsageError, match="--executor ray carries no model that writes"):
        Parcel.of(Context(toy_dataset(2), {}, language_models={"starter": tiny_writer}))
