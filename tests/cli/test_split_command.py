"""`fewtune split` as a person calls it, a fit on its splits, and the record of who read the test file."""

import json

import pytest
from csv_files import write_csv

from fewtune.data.test_lock import readings
from fewtune.testing.toys import toy_dataset


@pytest.fixture
def dated(tmp_path):
    toys = toy_dataset(14)
    lines = [
        (text, label, f"2024-{n % 12 + 1:02d}-01")
        for n, (text, label) in enumerate(zip(toys.texts, toys.labels, strict=True))
    ]
    return write_csv(tmp_path / "toys.csv", lines, header=("text", "label", "day"))


@pytest.fixture
def fast(quick):
    """Without folds and repeats, which the splits say."""
    options = list(map(str, quick))
    for name in ("--folds", "--repeats"):
        place = options.index(name)
        del options[place : place + 2]
    return options


def test_a_fit_on_given_splits_uses_exactly_these(fewtune, dated, fast, tmp_path):
    out = tmp_path / "splits"
    answer = fewtune("split", dated, "--out", out, "--folds", 3, "--repeats", 2, "--nested")
    assert answer.code == 0, answer.err
    assert "6 splits of 42 rows, stratified: 14 rows tested in each." in answer.out
    assert f"fewtune fit {dated} --splits {out / 'splits.json'}" in answer.out
    plain = json.loads((out / "splits.json").read_text())
    assert all(len(one["inner"]) == 3 for one in plain["splits"])
    fitted = fewtune("fit", dated, *fast, "--splits", out / "splits.json", "--out", tmp_path / "r", "--json")
    assert fitted.code == 0, fitted.err
    result = json.loads(fitted.out)
    assert result["resampling"]["splits"] == 6
    assert "on the splits that were given" in result["resampling"]["sentence"]
    lines = [json.loads(line) for line in (tmp_path / "r" / "runs.jsonl").read_text().splitlines()]
    assert {line["test_rows"] for line in lines if line["method"] == "majority"} == {14}


def test_the_future_is_tested_and_rows_never_tested_are_said(fewtune, dated, fast, tmp_path):
    answer = fewtune("split", dated, "--out", tmp_path, "--time", "day", "--folds", 3, "--json")
    assert answer.code == 0, answer.err
    splits = json.loads(answer.out)["splits"]
    fitted = fewtune("fit", dated, *fast, "--splits", tmp_path / "splits.json", "--out", tmp_path / "r", "--json")
    assert fitted.code == 0, fitted.err
    result = json.loads(fitted.out)
    tested = {row for one in splits for row in one["test"]}
    assert f"{42 - len(tested)} rows are tested in none of them" in result["resampling"]["sentence"]
    assert sum(map(sum, result["winner"]["confusion"])) == len(tested)
    assert (tmp_path / "r" / "report.html").exists()


def test_splits_for_other_rows_are_refused(fewtune, dated, toys_csv, fast, tmp_path):
    fewtune("split", dated, "--out", tmp_path)
    answer = fewtune("fit", toys_csv, *fast, "--splits", tmp_path / "splits.json", "--out", tmp_path / "r")
    assert answer.code == 2
    assert "was made for other rows" in answer.err
    answer = fewtune("fit", dated, *fast, "--splits", tmp_path / "splits.json", "--folds", 3, "--out", tmp_path / "r")
    assert answer.code == 2
    assert "leave out folds" in answer.err


def test_one_split_is_not_enough_for_a_fit(fewtune, dated, fast, tmp_path):
    fewtune("split", dated, "--out", tmp_path, "--time", "day", "--folds", 1)
    answer = fewtune("fit", dated, *fast, "--splits", tmp_path / "splits.json", "--out", tmp_path / "r")
    assert answer.code == 2
    assert "two splits or more" in answer.err


def test_every_reading_of_the_locked_test_file_is_recorded(fewtune, dated, fast, tmp_path):
    answer = fewtune("split", dated, "--out", tmp_path / "s", "--test", 0.25, "--folds", 3)
    assert answer.code == 0, answer.err
    train, test, splits = (tmp_path / "s" / name for name in ("train.csv", "test.csv", "splits.json"))
    assert test.read_text().splitlines()[0] == "text,label,day"
    command = ["fit", train, *fast, "--splits", splits, "--test", test]
    first = fewtune(*command, "--out", tmp_path / "one")
    assert first.code == 0, first.err
    assert "read once before" not in first.out
    result = json.loads((tmp_path / "one" / "result.json").read_text())
    assert result["test"]["reading"]["before"] == 0
    assert "first reading" in (tmp_path / "one" / "report.html").read_text()
    assert fewtune("check", train, "--test", test, "--no-backbone", "--out", tmp_path / "c").code in (0, 1)
    assert fewtune("predict", tmp_path / "one", test).code == 0
    second = fewtune(*command, "--out", tmp_path / "two")
    assert "was read 3 times before" in " ".join(second.out.split())
    assert "no longer measured on unseen rows" in (tmp_path / "two" / "report.html").read_text()
    lines = list(readings(test))
    assert [line["purpose"] for line in lines] == [
        "scored by a fit", "looked at by a check", "predicted", "scored by a fit",
    ]  # fmt: skip
    assert "--test" in lines[0]["command"]


def test_a_changed_test_file_is_named(fewtune, dated, fast, tmp_path):
    fewtune("split", dated, "--out", tmp_path, "--test", 0.25, "--folds", 3)
    test = tmp_path / "test.csv"
    lines = test.read_text().splitlines()
    test.write_text("\n".join(lines[:-1]) + "\n")
    answer = fewtune("fit", tmp_path / "train.csv", *fast, "--folds", 3, "--test", test, "--out", tmp_path / "r")
    assert answer.code == 0, answer.err
    assert f"it has {len(lines) - 2} rows, not {len(lines) - 1}" in " ".join(answer.out.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--test", "20"], "share of the rows"),
        (["--time", "date"], "no column 'date'"),
        (["--time", "day", "--repeats", "2"], "not repeated"),
        (["--folds", "1"], "folds must be 2"),
        (["--seed", "-1"], "seed must be a whole number"),
        (["--seed", str(2**32)], "at most 4294967295"),
        (["--test", "0.2", "--format", "xlsx"], "xlsx"),
    ],
)
def test_what_cannot_be_meant(fewtune, dated, tmp_path, options, said):
    answer = fewtune("split", dated, "--out", tmp_path / "s", *options)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--time", "label"], "Column 'label' is the label, not a time. Other columns: 'day'."),
        (["--time", "hour"], "There is no column 'hour' for the time. Other columns: 'day'."),
        (["--group", "label"], "Groups are kept together, so a class would be learned or tested, never both."),
        (["--group", "text"], "Column 'text' is named as the group, and is the text by its name."),
    ],
)
def test_columns_that_cannot_be_meant(fewtune, dated, tmp_path, options, said):
    answer = fewtune("split", dated, "--out", tmp_path / "s", *options)
    assert answer.code == 2
    assert said in answer.err
    assert not (tmp_path / "s").exists()


def test_rows_without_labels_are_grouped_by_the_column_that_is_called_so(fewtune, dated, tmp_path):
    answer = fewtune("split", dated, "--out", tmp_path / "s", "--group", "label", "--label", "", "--folds", 3, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["settings"]["kind"] == "random"
