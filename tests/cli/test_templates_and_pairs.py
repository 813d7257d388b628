"""A template and texts of two columns go from the fit into the model, and `predict` applies them by itself."""

import json

import numpy as np
import pytest
from csv_files import write_csv

from fewtune import TextClassifier, load
from fewtune.data.pairs import joined
from fewtune.data.templates import Template
from fewtune.testing.toys import toy_dataset

TOYS = toy_dataset(8)


@pytest.fixture
def two_columns(tmp_path):
    rows = [
        (f"ticket {n % 3}", text, label) for n, (text, label) in enumerate(zip(TOYS.texts, TOYS.labels, strict=True))
    ]
    return write_csv(tmp_path / "pairs.csv", rows, header=("subject", "body", "label"))


def test_pairs_are_joined_in_the_fit_and_in_predict(fewtune, two_columns, quick, tmp_path):
    out = tmp_path / "r"
    answer = fewtune("fit", two_columns, "--text", "subject", "--pair", "body", *quick, "--out", out)
    assert answer.code == 0, answer.err
    assert "Joined to the text: 'body'." in answer.err
    by_file = fewtune("predict", out, two_columns, "--json")
    assert by_file.code == 0, by_file.err
    typed = fewtune("predict", out, joined(["ticket 0", TOYS.texts[0]]), "--json")
    first, same = (json.loads(answer.out.splitlines()[0]) for answer in (by_file, typed))
    assert first["text"] == same["text"]
    assert first["probability"] == same["probability"]


def test_a_template_is_saved_and_applied(fewtune, toys_csv, quick, tmp_path):
    (tmp_path / "words.csv").write_text(
        "class,words\n" + "".join(f"{name},all about {name}\n" for name in TOYS.classes)
    )
    options = ["--prefix", "query: ", "--words", tmp_path / "words.csv"]
    plain, other = tmp_path / "plain", tmp_path / "other"
    assert fewtune("fit", toys_csv, *quick, "--out", plain).code == 0
    answer = fewtune("fit", toys_csv, *quick, *options, "--out", other)
    assert answer.code == 0, answer.err
    model = load(other)
    assert model.recipe.template.prefix == "query: "
    assert dict(model.recipe.template.words)[TOYS.classes[0]] == f"all about {TOYS.classes[0]}"
    prefixed = [f"query: {text}" for text in TOYS.texts]
    assert np.allclose(model.predict_proba(TOYS.texts), model.fitted.inner.predict_proba(prefixed) ** 1, atol=1)
    assert not np.allclose(model.predict_proba(TOYS.texts), load(plain).predict_proba(TOYS.texts))
    assert json.loads((other / "result.json").read_text())["winner"]["recipe"]["template"]["prefix"] == "query: "


@pytest.mark.parametrize("method", ["zero_shot", "probe", "contrastive"])
def test_a_saved_model_predicts_as_the_fitted_one(tiny_folders, tmp_path, method):
    words = tuple((name, f"this is {name}") for name in TOYS.classes)
    template = Template("instruction", instruction="which", words=words, pattern="about {}")
    classifier = TextClassifier(str(tiny_folders("bert")), methods=[method], folds=2, repeats=1, template=template)
    classifier.fit(TOYS.texts, TOYS.labels)
    classifier.save(tmp_path / "model")
    probs_NC = classifier.predict_proba(TOYS.texts)
    assert np.allclose(load(tmp_path / "model").predict_proba(TOYS.texts), probs_NC, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--template", "poem"], "neither a file nor a layout"),
        (["--template", "chat"], "no chat template"),
        (["--words", "{words}"], "words for a class 'nobody'"),
        (["--pair", "subject"], "no column 'subject'"),
    ],
)
def test_what_cannot_be_meant(fewtune, toys_csv, quick, tmp_path, options, said):
    (tmp_path / "words.json").write_text('{"nobody": "no words"}')
    options = [option.format(words=tmp_path / "words.json") for option in options]
    answer = fewtune("fit", toys_csv, *quick, *options, "--out", tmp_path / "r")
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
