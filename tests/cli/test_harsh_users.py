"""What a hurried person does, and what must not happen then."""

import io
import json
import subprocess
import sys

import pytest
from csv_files import write_csv
from test_fit_command import clear

from fewtune.report.advice import advise
from fewtune.report.sections.evidence import class_table


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "-1"], "seed must be a whole number, 0 or more"),
        (["--seed", str(2**32)], "at most 4294967295"),
        (["--folds", "1"], "folds must be"),
        (["--repeats", "0"], "repeats must be"),
        (["--out", ""], "no folder of its own"),
        (["--out", "."], "no folder of its own"),
    ],
)
def test_options_that_cannot_be_meant(fewtune, toys_csv, quick, options, said):
    clear(fewtune("fit", toys_csv, *quick, *options), 2, said)


def test_a_folder_with_other_files_is_not_written_to(fewtune, toys_csv, quick, tmp_path):
    (tmp_path / "result.json").write_text('{"mine": 1}')
    clear(fewtune("fit", toys_csv, *quick, "--out", tmp_path), 2, "no fit wrote")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert json.loads((tmp_path / "result.json").read_text()) == {"mine": 1}


def test_predictions_do_not_replace_their_own_rows(fewtune, result_folder, tmp_path):
    rows = write_csv(tmp_path / "rows.csv", [("a", "the dog"), ("b", "red")], header=("id", "text"))
    before = rows.read_bytes()
    clear(fewtune("predict", result_folder, rows, "--out", rows), 2, "would be lost")
    assert rows.read_bytes() == before


def test_predictions_lead_back_to_their_rows(fewtune, result_folder, tmp_path):
    rows = write_csv(tmp_path / "rows.csv", [("a", "the dog"), ("b", " "), ("c", "red")], header=("id", "text"))
    answer = fewtune("predict", result_folder, rows, "--json")
    found = [json.loads(line) for line in answer.out.splitlines()]
    assert [(row["row"], row["id"]) for row in found] == [(1, "a"), (3, "c")]


def test_every_row_says_whether_it_is_sure(fewtune, result_folder):
    found = [
        json.loads(line) for line in fewtune("predict", result_folder, "the dog", "zzz", "--json").out.splitlines()
    ]
    assert all(isinstance(row["sure"], bool) for row in found)


def test_a_file_among_texts_and_an_empty_text(fewtune, result_folder, toys_csv):
    clear(fewtune("predict", result_folder, "a dog", toys_csv), 2, "one file alone")
    clear(fewtune("predict", result_folder, ""), 2, "is empty")
    clear(fewtune("fit", " "), 2, "TRAIN is empty")


def test_the_test_score_is_on_the_screen(fewtune, toys_csv, quick, tmp_path):
    wrong = write_csv(tmp_path / "test.csv", [(f"the dog {n} barked", "tool") for n in range(40)])
    labels = {line.rsplit(",", 1)[1].strip() for line in toys_csv.read_text().splitlines()[1:]}
    if "tool" not in labels:
        wrong = write_csv(tmp_path / "test.csv", [(f"the dog {n} barked", sorted(labels)[-1]) for n in range(40)])
    answer = fewtune("fit", toys_csv, *quick, "--test", wrong, "--out", tmp_path / "fit")
    assert answer.code == 0, answer.err
    assert "On the test file:" in answer.out


def test_the_same_text_with_two_labels_is_the_first_advice(fewtune, quick, tmp_path):
    rows = [(f"text number {n} about a dog", label) for n in range(12) for label in ("cat", "dog")]
    answer = fewtune("fit", write_csv(tmp_path / "torn.csv", rows), *quick, "--out", tmp_path / "fit", "--json")
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    assert result["data"]["conflicting"] == 24
    assert "another label" in result["verdict"]["advice"][0]["do"]
    assert "no better than the majority class" in result["verdict"]["sentence"]


def test_the_majority_rung_is_what_the_verdict_is_held_against(fewtune, result_folder):
    result = json.loads((result_folder / "result.json").read_text())
    largest = max(one["rows"] for one in result["classes"]) / result["rows"]
    majority = next(rung for rung in result["ladder"] if rung["name"] == "majority")
    assert majority["cv"]["accuracy"]["mean"] == pytest.approx(largest)
    headline = result["winner"]["cv"]["accuracy"]["mean"]
    assert result["verdict"]["against_majority"]["difference"] == pytest.approx(headline - largest)


def test_advice_on_one_row_is_of_one_row(result_folder):
    result = json.loads((result_folder / "result.json").read_text())
    leak = {"row": 1, "train_row": 1}

    def said(count):
        result.update(suspects=[{"row": 1}] * count, test={"rows": 9, "leaks": [leak] * count})
        return " ".join(one["do"] for one in advise(result, result["verdict"]))

    assert "the row most likely mislabelled" in said(1)
    assert "the test row that also stands" in said(1)
    assert "the 2 rows most likely mislabelled" in said(2)
    assert "the 2 test rows that also stand " in said(2)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        ((0.04, 0.01, 0.07), "120 in all are expected to bring 4.0 points. The learning curve still climbs"),
        ((0.04, -0.05, 0.1), "120 in all are expected to bring 4.0 points. The learning curve seems to climb"),
        ((0.0, -0.07, 0.08), "cannot be told from these"),
        ((0.002, -0.01, 0.01), "will bring little"),
    ],
)
def test_advice_on_more_rows_is_as_sure_as_the_forecast(result_folder, gain, said):
    result = json.loads((result_folder / "result.json").read_text())
    for one in result["classes"]:
        one["rows"] = 100
    gain = dict(zip(("mean", "low", "high"), gain, strict=True))
    result["learning_curve"]["forecast"] = {"rows": 120, "accuracy": gain, "gain": gain}
    assert said in " ".join(f"{one['do']} {one['why']}" for one in advise(result, result["verdict"]))


def test_what_is_told_on_the_way_is_what_the_result_holds(fewtune, toys_csv, quick, tmp_path):
    answer = fewtune("fit", toys_csv, *quick, "--out", tmp_path / "fit")
    result = json.loads((tmp_path / "fit" / "result.json").read_text())
    told = " ".join((answer.out + answer.err).split())
    for rung in result["ladder"]:
        if rung["status"] == "judged":
            assert f"{rung['title']}: accuracy {rung['cv']['accuracy']['mean']:.3f}" in told


def test_a_test_file_of_training_rows_says_nothing(fewtune, toys_csv, quick, tmp_path):
    answer = fewtune("fit", toys_csv, *quick, "--test", toys_csv, "--out", tmp_path / "fit", "--json")
    result = json.loads(answer.out)
    assert len(result["test"]["leaks"]) == result["test"]["rows"]
    assert any("another test file" in one["do"] for one in advise(result, result["verdict"]))
    assert "accuracy" not in result["test"], "no score of remembered rows is given as one"
    assert result["test"]["scored"] == 0
    assert "test file says" not in result["verdict"]["sentence"]
    again = fewtune("fit", toys_csv, *quick, "--test", toys_csv, "--out", tmp_path / "fit")
    assert "No test score: every row of it also stands in the training file" in " ".join(again.out.split())


def test_few_groups_are_named_as_what_is_wanted(fewtune, quick, tmp_path):
    """Rows do not help where groups are few; the folds that were asked for and could not be made are named."""
    file = tmp_path / "rows.csv"
    rows = [
        f"message {n} of {'tea' if n % 2 else 'rain'},{'drinks' if n % 2 else 'weather'},g{n % 3}" for n in range(36)
    ]
    file.write_text("text,label,who\n" + "\n".join(rows) + "\n")
    answer = fewtune("fit", file, "--group", "who", *quick, "--out", tmp_path / "fit", "--json")
    result = json.loads(answer.out)
    assert result["resampling"]["group_count"] == 3
    assert "(3 groups)" in result["resampling"]["sentence"]
    verdict = result["verdict"] | {"against_majority": {"verdict": "cannot be told apart", "rows_needed": 900}}
    said = " ".join(f"{one['do']} {one['why']}" for one in advise(result, verdict))
    assert "Add rows of other groups: there are only 3." in said
    assert "900" not in said


def test_folds_that_cannot_be_made_are_said(fewtune, toys_csv, tmp_path):
    answer = fewtune(
        "fit", toys_csv, "--method", "probe", "--folds", "90", "--repeats", "1", "--out", tmp_path / "fit", "--json"
    )
    result = json.loads(answer.out)
    assert result["resampling"]["folds"] == 24
    assert "24 folds, not 90: there are only 24 rows." in result["data"]["notes"]


def test_a_folder_that_holds_a_fit_on_other_rows_is_named(fewtune, toys_csv, quick, tmp_path):
    first = fewtune("fit", toys_csv, *quick, "--out", tmp_path / "fit")
    again = fewtune("fit", toys_csv, *quick, "--out", tmp_path / "fit")
    assert "holds a fit on other rows" not in first.err + again.err
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("\n".join(toys_csv.read_text().splitlines()[:-1]) + "\n")
    other = fewtune("fit", fewer, *quick, "--out", tmp_path / "fit")
    assert other.code == 0
    assert "holds a fit on other rows" in " ".join(other.err.split())


def test_what_unlabelled_texts_were_given_is_said(fewtune, toys_csv, quick, tmp_path):
    shared = [line.rsplit(",", 1)[0] for line in toys_csv.read_text().splitlines()[1:4]]
    file = tmp_path / "more.csv"
    file.write_text("\n".join(["text", *shared, "something new", "something new"]) + "\n")
    answer = fewtune("fit", toys_csv, *quick, "--unlabelled", file, "--out", tmp_path / "fit")
    note = "5 unlabelled texts, 4 of them different; 3 of them are labelled rows too"
    assert note in " ".join(answer.err.split())
    notes = json.loads((tmp_path / "fit" / "result.json").read_text())["data"]["notes"]
    assert any(told.startswith(f"{file}: {note}") for told in notes)


def with_test(toys_csv, folder, lines):
    file = folder / "test.csv"
    file.write_text("\n".join(["text,label", *lines]) + "\n")
    return file


def test_test_rows_that_are_left_out_are_named(fewtune, toys_csv, quick, tmp_path):
    name = toys_csv.read_text().splitlines()[1].rsplit(",", 1)[1]
    test = with_test(toys_csv, tmp_path, [f"one new text,{name}", f",{name}", f"another new text,{name}", "a third,"])
    answer = fewtune("fit", toys_csv, *quick, "--test", test, "--out", tmp_path / "fit")
    block = json.loads((tmp_path / "fit" / "result.json").read_text())["test"]
    assert block["rows"] == block["scored"] == 2
    page = (tmp_path / "fit" / "report.html").read_text()
    for said in ("1 of 4 rows has no text and is left out: row 2.", "has no label and is left out: row 4."):
        assert said in " ".join(answer.err.split())
        assert any(said in note for note in block["notes"])
        assert said in page


def test_a_class_without_test_rows_has_no_score_there(fewtune, toys_csv, quick, tmp_path):
    name = toys_csv.read_text().splitlines()[1].rsplit(",", 1)[1]
    test = with_test(toys_csv, tmp_path, [f"new text number {n},{name}" for n in range(6)])
    fewtune("fit", toys_csv, *quick, "--test", test, "--out", tmp_path / "fit")
    result = json.loads((tmp_path / "fit" / "result.json").read_text())
    assert len(result["test"]["per_class"]) == 3
    for one in result["test"]["per_class"]:
        assert (one["rows"] > 0) == (one["name"] == name) == (one["recall"] is not None) == (one["f1"] is not None)
    answered = [sum(column) for column in zip(*result["test"]["confusion"], strict=True)]
    for one, answers in zip(result["test"]["per_class"], answered, strict=True):
        assert (one["precision"] is None) == (one["rows"] == answers == 0)
    listed = class_table(result["test"]["per_class"])["rows"]
    assert listed[0]["name"] == name
    assert [row["measures"][0]["value"] for row in listed[1:]] == ["–", "–"]


def test_every_label_that_training_never_saw_is_named_at_once(fewtune, toys_csv, quick, tmp_path):
    test = with_test(toys_csv, tmp_path, ["one,odd", "two,odd", "three,odder"])
    answer = fewtune("fit", toys_csv, *quick, "--test", test, "--out", tmp_path / "fit")
    said = " ".join(answer.err.split())
    assert answer.code == 2
    assert "2 labels, 'odd', 'odder' are in no training row. 3 rows hold one of them: rows 1, 2, 3." in said
    assert "Correct the rows" in said


def test_other_column_names_of_a_test_file_come_with_what_to_call_them(fewtune, toys_csv, quick, tmp_path):
    test = tmp_path / "test.csv"
    test.write_text("message,category\nnew text,odd\n")
    answer = fewtune("fit", toys_csv, *quick, "--test", test, "--out", tmp_path / "fit")
    assert answer.code == 2
    assert "Call its columns as in the training file: 'text' and 'label'." in " ".join(answer.err.split())


def test_blank_lines_of_standard_input_are_named_and_rows_lead_back(fewtune, result_folder, monkeypatch):
    given = io.TextIOWrapper(io.BytesIO(b"where is it\n\n   \nmy parcel\n"))
    monkeypatch.setattr("sys.stdin", given)
    answer = fewtune("predict", result_folder, "-", "--json")
    assert [json.loads(line)["row"] for line in answer.out.splitlines()] == [1, 4]
    assert "2 of 4 lines have no text and are left out: lines 2, 3." in answer.err


def test_a_current_folder_that_is_gone_is_said(result_folder, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    call = "import os, sys; os.rmdir(os.getcwd()); from fewtune.cli.main import run; sys.argv[0] = 'fewtune'; run()"
    command = [sys.executable, "-c", call, "predict", str(result_folder.absolute()), "the dog"]
    ended = subprocess.run(command, cwd=gone, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "fewtune: The current folder does not exist any more. Change to one that does.\n"
