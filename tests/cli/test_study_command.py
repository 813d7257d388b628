"""`fewtune study formats` as a person calls it."""

import json

import pytest


@pytest.fixture
def quick_study(tiny_folders):
    return ["--backbone", tiny_folders("bert"), "--folds", 2, "--repeats", 1]


def test_a_table_with_verdicts_and_a_result(fewtune, toys_csv, quick_study, tmp_path):
    answer = fewtune("study", "formats", toys_csv, *quick_study, "--out", tmp_path / "s")
    assert answer.code == 0, answer.err
    assert "Plain text" in answer.out
    assert "cannot be told apart" in answer.out
    assert "held against plain text on the same 2 splits" in " ".join(answer.out.split())
    assert json.loads((tmp_path / "s" / "formats.json").read_text())["study"] == "formats"


def test_json_words_and_templates_of_ones_own(fewtune, toys_csv, quick_study, tmp_path):
    (tmp_path / "mine.json").write_text('{"prefix": "note: "}')
    (tmp_path / "words.json").write_text('{"animals": "beasts"}')
    options = ["--template", tmp_path / "mine.json", "--words", tmp_path / "words.json", "--instruction", "Name it"]
    answer = fewtune("study", "formats", toys_csv, *quick_study, *options, "--json", "--out", tmp_path / "s")
    assert answer.code == 0, answer.err
    found = {one["name"]: one["template"] for one in json.loads(answer.out)["formats"]}
    assert found["mine"]["prefix"] == "note: "
    assert found["words"]["words"] == {"animals": "beasts"}
    assert found["asked"]["prefix"] == "Name it: "


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "majority"], "reads no text"),
        (["--method", "magic"], "no method called"),
        (["--folds", 1], "folds"),
    ],
)
def test_what_cannot_be_meant(fewtune, toys_csv, tmp_path, options, said):
    answer = fewtune("study", "formats", toys_csv, *options, "--out", tmp_path / "s")
    assert answer.code == 2
    assert said in answer.err


def test_study_alone_shows_what_there_is(fewtune):
    answer = fewtune("study")
    assert "formats" in answer.out + answer.err
