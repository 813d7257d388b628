"""`fewtune check`: exit codes, what is said where, what is written."""

import json
import shutil

import pytest
from cli_child import Child
from csv_files import write_csv

from fewtune.audit.registry import CHECKS
from fewtune.auditing.looking import concerning
from fewtune.testing.toys import toy_dataset

ONE_CLASS = [("the dog", "a"), ("red", "a"), ("a saw", "a")]


@pytest.fixture
def here(tmp_path, monkeypatch, toys_csv):
    shutil.copy(toys_csv, tmp_path / "toys.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tiny(tiny_folders):
    return ["--backbone", tiny_folders("bert")]


def test_nothing_in_the_way(fewtune, here, tiny):
    answer = fewtune("check", "toys.csv", *tiny, "--only", "task,copies")
    assert answer.code == 0, answer.err
    assert "Nothing stands in the way." in answer.out
    assert "Page: runs/toys-check/audit.html" in answer.out
    assert "toys.csv: 24 rows, 3 classes" in answer.err
    assert sorted(path.name for path in (here / "runs" / "toys-check").iterdir()) == ["audit.html", "audit.json"]
    assert "toys-check" in answer.out.splitlines()[-1]


def test_something_in_the_way(fewtune, here):
    write_csv(here / "one.csv", ONE_CLASS)
    answer = fewtune("check", "one.csv", "--no-backbone", "--out", "looked")
    assert answer.code == 1
    assert "1 thing would invalidate a result from these data." in answer.out
    assert "x All 3 labelled rows have the one label 'a'." in answer.out
    assert "Two classes or more are needed" in answer.out
    assert "Labels to check" in answer.out.partition("Not looked at")[2]
    assert "Traceback" not in answer.err


def test_rows_are_named_with_their_numbers(fewtune, here):
    toys = toy_dataset(6)
    write_csv(here / "twice.csv", [*zip(toys.texts, toys.labels, strict=True), (toys.texts[2], toys.labels[2])])
    answer = fewtune("check", "twice.csv", "--no-backbone", "--only", "copies")
    assert f"row 19 {toys.texts[2]}" in " ".join(answer.out.split())
    assert "same as row 3" in " ".join(answer.out.split())


def test_json_alone_on_standard_output(fewtune, here, tiny):
    answer = fewtune("check", "toys.csv", *tiny, "--test", "toys.csv", "--json", "--seed", 4)
    plain = json.loads(answer.out)
    assert plain["settings"]["seed"] == 4
    assert plain["command"].startswith("fewtune check toys.csv")
    assert answer.code == int(plain["verdict"]["blocked"])
    assert plain == json.loads((here / "runs" / "toys-check" / "audit.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in plain["checks"]] == [check.name for check in concerning(CHECKS, "classification")]


def test_the_same_every_time(fewtune, here, tiny):
    found = []
    for _ in range(2):
        plain = json.loads(fewtune("check", "toys.csv", *tiny, "--test", "toys.csv", "--json").out)
        found.append((plain["findings"], [one | {"seconds": None} for one in plain["checks"]]))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.csv"], "There is no such file"),
        ([""], "TRAIN is empty"),
        (["toys.csv", "--test", "nowhere.csv"], "Check the path given with --test."),
        (["toys.csv", "--unlabelled", "nowhere.csv"], "Check the path given with --unlabelled."),
        (["toys.csv", "--only", "magic"], "There is no check 'magic'."),
        (["toys.csv", "--skip", ",".join(check.name for check in CHECKS)], "No check is left to run."),
        (["toys.csv", "--label", "labl"], "Did you mean 'label'?"),
        (["toys.csv", "--out", "."], "--out names no folder of its own"),
        (["toys.csv", "--seed", "-1"], "seed must be a whole number"),
        (["toys.csv", "--seed", str(2**32)], "at most 4294967295"),
        (["toys.csv", "--review", "--json"], "--review asks questions"),
        (["toys.csv", "--review"], "it needs a terminal"),
    ],
)
def test_bad_usage(fewtune, here, arguments, said):
    answer = fewtune("check", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert answer.out == ""
    assert not list(here.glob("runs/*")), "what was not done leaves no folder"


def test_a_folder_that_cannot_be_made(fewtune, here):
    answer = fewtune("check", "toys.csv", "--no-backbone", "--out", "toys.csv")
    assert answer.code == 1
    assert "toys.csv cannot be made" in answer.err


def test_files_that_no_check_wrote_are_not_replaced(fewtune, here):
    (here / "mine").mkdir()
    (here / "mine" / "audit.json").write_text('{"mine": 1}')
    answer = fewtune("check", "toys.csv", "--no-backbone", "--out", "mine")
    assert answer.code == 2
    assert "mine/audit.json is of no `fewtune check`" in answer.err
    assert [path.read_text() for path in (here / "mine").iterdir()] == ['{"mine": 1}']
    for _ in range(2):
        assert fewtune("check", "toys.csv", "--no-backbone", "--only", "copies", "--out", "again").code == 0


def test_nothing_looked_at_is_no_success(fewtune, here):
    answer = fewtune("check", "toys.csv", "--no-backbone", "--only", "label_errors")
    assert answer.code == 1
    assert "Nothing was looked at" in answer.out


def test_the_page_says_what_comes_next_for_rows_without_labels(fewtune, here):
    (here / "chat.jsonl").write_text(
        "".join(f'{{"prompt": "Say {n} please", "completion": "Said {n}"}}\n' for n in range(9)), encoding="utf-8"
    )
    (here / "bare.csv").write_text("text\n" + "".join(f"text number {n}\n" for n in range(9)), encoding="utf-8")
    for file, fits, advice in (("chat.jsonl", True, "Fit."), ("bare.csv", False, "Label some of these rows")):
        fewtune("check", file, "--no-backbone", "--out", "looked")
        page = (here / "looked" / "audit.html").read_text(encoding="utf-8")
        assert advice in page
        assert (f"fewtune fit {file}" in page) == fits


def test_texts_of_several_columns(fewtune, here):
    rows = [("the same subject", f"{word} body here", "ab"[n % 2]) for n, word in enumerate(["one", "other", "third"])]
    write_csv(here / "mail.csv", rows, header=("subject", "body", "label"))
    plain = ["check", "mail.csv", "--no-backbone", "--only", "copies", "--json", "--text", "subject"]
    apart, together = (json.loads(fewtune(*plain, *more).out)["findings"] for more in ([], ["--pair", "body"]))
    assert apart
    assert not together


def test_names_of_checks_however_they_are_put(fewtune, here):
    for options in (["--only", "task, copies"], ["--only", "copies", "--only", "task"]):
        plain = json.loads(fewtune("check", "toys.csv", "--no-backbone", "--json", *options).out)
        assert [one["name"] for one in plain["checks"]] == ["task", "copies"]
    plain = json.loads(fewtune("check", "toys.csv", "--no-backbone", "--json", "--skip", "label-errors").out)
    assert "label_errors" not in [one["name"] for one in plain["checks"]]


def test_rows_without_labels(fewtune, here):
    write_csv(here / "bare.csv", [(text,) for text in toy_dataset(5).texts], header=("text",))
    answer = fewtune("check", "bare.csv", "--no-backbone")
    assert answer.code == 0, answer.err
    assert "the training rows have no labels" in " ".join(answer.out.split())


def test_report_draws_the_page_again(fewtune, here):
    assert fewtune("check", "toys.csv", "--no-backbone", "--out", "looked", "--quiet").code == 0
    page = here / "looked" / "audit.html"
    first = page.read_text(encoding="utf-8")
    page.unlink()
    answer = fewtune("report", "looked", "--no-open")
    assert answer.code == 0, answer.err
    assert answer.out == "looked/audit.html\n"
    assert page.read_text(encoding="utf-8") == first
    assert json.loads(fewtune("report", "looked", "--json").out)["format"] == 1


def test_a_check_beside_a_fit(fewtune, here, result_folder):
    shutil.copytree(result_folder, here / "both")
    assert fewtune("check", "toys.csv", "--no-backbone", "--out", "both").code == 0
    assert fewtune("report", "both", "--no-open").out.splitlines() == ["both/report.html", "both/audit.html"]


def test_a_fit_after_a_check_in_one_folder(fewtune, here, quick):
    assert fewtune("check", "toys.csv", "--no-backbone", "--out", "both").code == 0
    assert fewtune("fit", "toys.csv", *quick, "--out", "both").code == 0


def test_hostile_texts_do_not_drive_the_terminal(fewtune, here):
    texts = ["[red]\x1b[31mred", "[/]\x1b]0;title\x07", "\u202egreen [link=x]", "{{7*7}}"]
    write_csv(here / "bad.csv", [(text, name) for text in texts for name in "ab"])
    answer = fewtune("check", "bad.csv", "--no-backbone")
    assert "\x1b" not in answer.out
    assert "[red]" in answer.out


def test_an_interruption_writes_nothing_and_says_so(here, tiny):
    from fewtune.backbones.passes import Frozen

    child = Child(here / "said", "check", "toys.csv", *tiny, pause=(Frozen, "pooled", 1))
    child.wait_until_paused()
    answer = child.interrupted()
    assert answer.code == 130
    assert "interrupted" in answer.err
    assert "Traceback" not in answer.err
    assert not (here / "runs" / "toys-check" / "audit.json").exists()
