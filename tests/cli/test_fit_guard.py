"""`fewtune fit` refuses to headline a score that leaked rows or marks have made."""

import csv
import json
import random

import pytest

from fewtune.testing.toys import toy_dataset

TOYS = toy_dataset(12)


def write_csv(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def fitted(fewtune, quick, folder, train, *more):
    answer = fewtune("fit", train, *quick, *more, "--json", "--out", folder / "fit")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_a_mark_on_a_class_stands_before_the_score(fewtune, quick, tmp_path):
    rows = [(f"##{label}## {text}", label) for text, label in zip(TOYS.texts, TOYS.labels, strict=True)]
    result = fitted(fewtune, quick, tmp_path, write_csv(tmp_path / "t.csv", ("text", "label"), rows))
    assert [one["check"] for one in result["warnings"]] == ["artefacts"]
    assert result["warnings"][0]["severity"] == "blocks"
    assert result["verdict"]["sentence"].startswith("Do not believe this score yet: '##")
    assert "remove it from the training texts" in result["verdict"]["advice"][0]["do"]


def test_customers_of_one_label_each_are_named_until_grouped(fewtune, quick, tmp_path):
    rng = random.Random(0)
    rows = [(text, label, f"{label}{rng.randrange(4)}") for text, label in zip(TOYS.texts, TOYS.labels, strict=True)]
    train = write_csv(tmp_path / "t.csv", ("text", "label", "customer"), rows)
    result = fitted(fewtune, quick, tmp_path, train)
    assert [(one["check"], one["severity"]) for one in result["warnings"]] == [("telling_columns", "blocks")]
    assert "Column 'customer' alone tells" in result["verdict"]["sentence"]
    result = fitted(fewtune, quick, tmp_path / "again", train, "--group", "customer")
    assert [one["severity"] for one in result["warnings"]] == ["warning"]
    assert not result["verdict"]["sentence"].startswith("Do not believe this score yet")


def test_clean_rows_carry_no_warning(fewtune, quick, tmp_path):
    rows = list(zip(TOYS.texts, TOYS.labels, strict=True))
    random.Random(0).shuffle(rows)
    result = fitted(fewtune, quick, tmp_path, write_csv(tmp_path / "t.csv", ("text", "label"), rows))
    assert result["warnings"] == []


def test_groups_and_relatives_in_the_test_file_are_not_scored(fewtune, quick, tmp_path):
    new = toy_dataset(4, seed=9)
    header = ("id", "text", "label", "customer", "origin", "parent")
    train = [
        (f"a{n}", text, label, f"c{n % 9}", "given", "")
        for n, (text, label) in enumerate(zip(TOYS.texts, TOYS.labels, strict=True))
    ]
    test = [
        [f"b{n}", text, label, f"d{n}", "given", ""]
        for n, (text, label) in enumerate(zip(new.texts, new.labels, strict=True))
    ]
    test[2][3], test[5][4:] = "c3", ["augmented", "a7"]
    test_file = write_csv(tmp_path / "test.csv", header, test)
    result = fitted(
        fewtune,
        quick,
        tmp_path,
        write_csv(tmp_path / "t.csv", header, train),
        "--group",
        "customer",
        "--test",
        test_file,
    )
    leaks = [(leak["id"], leak["train_id"], leak["kind"]) for leak in result["test"]["leaks"]]
    assert ("b2", "a3", "group") in leaks
    assert ("b5", "a7", "family") in leaks
    assert result["test"]["scored"] == result["test"]["rows"] - len(leaks)


@pytest.mark.parametrize("kept", [0, 3])
def test_both_scores_are_shown_where_some_rows_are_new(fewtune, quick, tmp_path, kept):
    train = write_csv(tmp_path / "t.csv", ("text", "label"), zip(TOYS.texts, TOYS.labels, strict=True))
    new = toy_dataset(3, seed=9)
    rows = [*zip(TOYS.texts, TOYS.labels, strict=True)][:5] + [*zip(new.texts, new.labels, strict=True)][:kept]
    test = write_csv(tmp_path / "test.csv", ("text", "label"), rows)
    result = fitted(fewtune, quick, tmp_path, train, "--test", test)
    assert result["test"]["scored"] <= kept
    assert "with_leaks" in result["test"]
    assert ("accuracy" in result["test"]) == (result["test"]["scored"] > 0)
    assert ("no_score" in result["test"]) == (result["test"]["scored"] == 0)
