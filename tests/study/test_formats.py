"""The study of formats: what is tried, what is held against what, nothing computed twice, verdicts that are earned."""

import json

import pytest

from fewtune import Dataset, Example
from fewtune.data.base import Message
from fewtune.data.pairs import joined
from fewtune.data.templates import PLAIN, Template
from fewtune.errors import TaskError, UsageError
from fewtune.methods.contrastive import Contrastive
from fewtune.methods.probe import Probe
from fewtune.methods.zero_shot import ZeroShot
from fewtune.study.formats import candidates
from fewtune.study.settings import Settings
from fewtune.studying import study_formats
from fewtune.testing.toys import toy_dataset

TOYS = toy_dataset(8)


def names(dataset, method, **options):
    return [one.name for one in candidates(dataset, method, "default", **options)]


def test_what_is_tried_depends_on_rows_and_method():
    assert names(TOYS, Probe()) == ["plain", "query", "asked", "instruction", "sentence", "no names"]
    assert names(TOYS, ZeroShot()) == ["plain", "query", "asked", "instruction", "sentence"]
    assert "sentence" not in names(TOYS, Contrastive())
    codes = Dataset(tuple(Example(text, str(n % 2)) for n, text in enumerate(TOYS.texts)))
    assert names(codes, Probe()) == ["plain", "query", "asked", "instruction"]
    assert names(codes, Probe(), words={"0": "apples", "1": "pears"})[-2:] == ["words", "sentence"]


def test_separators_are_tried_where_texts_are_of_two_columns():
    pairs = Dataset(
        tuple(Example(joined(["a", text]), label) for text, label in zip(TOYS.texts, TOYS.labels, strict=True)),
        text_column="subject",
        pair_columns=("body",),
    )
    found = {one.name: one.recipe.template for one in candidates(pairs, Probe(), "default")}
    assert found["by a bar"].bind(None)(joined(["one", "two"])) == "one | two"
    assert found["named"].bind(None)(joined(["one", "two"])) == "subject: one\nbody: two"


@pytest.fixture
def settings(tiny_folders, tmp_path):
    return Settings((str(tiny_folders("bert")),), ("probe",), folds=2, repeats=2, out=tmp_path / "study")


def test_every_format_is_held_against_plain_on_the_same_splits(settings):
    found = study_formats(TOYS, settings)
    assert json.loads((settings.out / "formats.json").read_text()) == json.loads(json.dumps(found))
    assert found["formats"][0]["against_plain"] is None
    others = [one["against_plain"] for one in found["formats"][1:]]
    assert {one["level"] for one in others} == {1 - 0.05 / len(others)}
    assert all(one["verdict"] in ("better", "worse", "cannot be told apart") for one in others)
    assert found["splits"] == 4
    for one in found["formats"][1:]:
        assert one["accuracy"]["mean"] - found["formats"][0]["accuracy"]["mean"] == pytest.approx(
            one["against_plain"]["difference"]
        )


def test_a_finished_study_computes_nothing_again(settings):
    first = study_formats(TOYS, settings)
    lines = (settings.out / "runs.jsonl").read_text()
    assert study_formats(TOYS, settings)["formats"] == first["formats"]
    assert (settings.out / "runs.jsonl").read_text() == lines
    assert len(lines.splitlines()) == 4 * len(first["formats"])


def test_a_format_that_hides_the_text_is_called_worse(settings):
    """The whole text is beyond what the backbone reads, after a prefix that long."""
    rows = toy_dataset(25)
    hiding = Template(prefix="the " * 80)
    found = study_formats(rows, settings, more=[("hiding", hiding)])
    by_name = {one["name"]: one for one in found["formats"]}
    assert by_name["hiding"]["against_plain"]["verdict"] == "worse"
    assert found["told_apart"] >= 1


def test_a_format_the_same_as_plain_cannot_be_told_apart(settings):
    found = study_formats(TOYS, settings, more=[("same", PLAIN)])
    same = next(one for one in found["formats"] if one["name"] == "same")
    assert same["against_plain"]["difference"] == 0
    assert same["against_plain"]["verdict"] == "cannot be told apart"


def test_what_cannot_be_meant(settings, tiny_folders):
    with pytest.raises(UsageError, match="reads no text"):
        study_formats(TOYS, Settings(methods=("majority",)))
    with pytest.raises(UsageError, match="words for a class"):
        study_formats(TOYS, settings, words={"nobody": "x"})
    said = (Message("user", "a"), Message("assistant", "b"))
    with pytest.raises(TaskError, match="prompts"):
        study_formats(Dataset((Example("a", completion="b", messages=said),), task="generation"), settings)
    with pytest.raises(UsageError, match="no chat template"):
        study_formats(TOYS, settings, more=[("chat", Template("chat"))])
