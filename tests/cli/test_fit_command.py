"""`fewtune fit`: one command from a file to a page, and one clear line for every file that will not do."""

import errno
import json
import os
import pickle
import shutil
import subprocess

import numpy as np
import pytest
from csv_files import write_csv

from fewtune import load
from fewtune.testing.toys import toy_dataset

TOYS = toy_dataset(8)


def plain(text):
    raise AssertionError(f"{text} is no JSON")


def without_times(value):
    """A result without what may differ between two fits: times, and the command that was typed."""
    if isinstance(value, dict):
        return {
            key: without_times(inner)
            for key, inner in value.items()
            if "seconds" not in key and key not in ("command", "read_at")
        }
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def test_from_a_file_to_a_page(fewtune, toys_csv, quick, tmp_path):
    answer = fewtune("fit", toys_csv, *quick, "--out", tmp_path / "result")
    assert answer.code == 0, answer.err
    files = {path.name for path in (tmp_path / "result").iterdir()}
    assert files == {"model", "report.html", "result.json", "runs.jsonl", "study.json", "arrays"}
    assert "better than the majority class" in answer.out
    assert str(tmp_path / "result" / "report.html").split("/")[-1] in answer.out
    assert "24 rows, 3 classes" in answer.err
    result = json.loads((tmp_path / "result" / "result.json").read_text(), parse_constant=plain)
    wanted = {
        "task",
        "rows",
        "classes",
        "seconds",
        "seed",
        "versions",
        "hardware",
        "winner",
        "ladder",
        "test",
        "verdict",
    }
    assert wanted <= set(result)
    assert {"mean", "low", "high"} <= set(result["winner"]["cv"]["accuracy"])
    assert result["winner"]["cv"]["macro_f1"]["mean"] > 0.5
    model = load(tmp_path / "result")
    new = toy_dataset(10, seed=4)
    answers = model.predict_proba(new.texts).argmax(1)
    assert np.mean([model.classes[a] == label for a, label in zip(answers, new.labels, strict=True)]) > 0.6
    suffixes = {path.suffix for path in (tmp_path / "result" / "model").rglob("*") if path.is_file()}
    assert ".safetensors" in suffixes
    assert not suffixes & {".bin", ".pt", ".pkl"}


def test_json_alone_on_standard_output_and_the_same_again(fewtune, toys_csv, quick, tmp_path):
    first = fewtune("fit", toys_csv, *quick, "--json", "--out", tmp_path / "a", "--seed", 3)
    second = fewtune("fit", toys_csv, *quick, "--json", "--out", tmp_path / "b", "--seed", 3)
    results = [json.loads(answer.out, parse_constant=plain) for answer in (first, second)]
    assert without_times(results[0]) == without_times(results[1])
    on_disk = json.loads((tmp_path / "a" / "result.json").read_text())
    assert on_disk == results[0]
    other = json.loads(fewtune("fit", toys_csv, *quick, "--json", "--out", tmp_path / "c", "--seed", 4).out)
    assert without_times(other) != without_times(results[0])


def test_the_same_command_again_computes_nothing_twice(fewtune, toys_csv, quick, tmp_path):
    first = fewtune("fit", toys_csv, *quick, "--json", "--out", tmp_path / "a")
    lines = (tmp_path / "a" / "runs.jsonl").read_bytes()
    second = fewtune("fit", toys_csv, *quick, "--json", "--out", tmp_path / "a")
    assert (tmp_path / "a" / "runs.jsonl").read_bytes() == lines
    assert without_times(json.loads(first.out)) == without_times(json.loads(second.out))


def test_a_test_file_is_scored_and_its_leaks_are_named(fewtune, toys_csv, quick, tmp_path):
    new = toy_dataset(5, seed=9)
    rows = [*zip(new.texts, new.labels, strict=True), (TOYS.texts[4], TOYS.labels[4])]
    test = write_csv(tmp_path / "test.csv", rows)
    answer = fewtune("fit", toys_csv, *quick, "--test", test, "--json", "--out", tmp_path / "a")
    assert answer.code == 0, answer.err
    block = json.loads(answer.out)["test"]
    # Toy sentences are drawn from few words: some of the new ones are rewordings of training rows, and count as such.
    leaked = {leak["row"]: leak["train_row"] for leak in block["leaks"]}
    assert leaked[16] == 5
    assert (block["rows"], block["scored"]) == (16, 16 - len(leaked))
    assert block["scored"] >= 5
    assert 0 <= block["accuracy"]["low"] <= block["accuracy"]["mean"] <= 1
    assert block["macro_f1"]["mean"] > 0.4
    right = block["scored"] * block["accuracy"]["mean"], 16 * block["with_leaks"]["accuracy"]["mean"]
    assert right[0] + 1 <= right[1] + 1e-9 <= right[0] + len(leaked) + 2e-9, "all rows, the leaked ones too"
    assert sum(map(sum, block["confusion"])) == block["scored"]


def test_a_test_file_of_one_class_is_fine(fewtune, toys_csv, quick, tmp_path):
    test = write_csv(tmp_path / "test.csv", [(TOYS.texts[1] + " very", TOYS.labels[1])])
    answer = fewtune("fit", toys_csv, *quick, "--test", test, "--json", "--out", tmp_path / "a")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["test"]["rows"] == 1


def test_a_test_file_of_unknown_labels_costs_no_work(fewtune, toys_csv, quick, tmp_path):
    test = write_csv(tmp_path / "test.csv", [("red", "colours"), ("moon", "planets")])
    answer = fewtune("fit", toys_csv, *quick, "--test", test, "--out", tmp_path / "a")
    clear(answer, 2, "planets", f"Model and page are in {tmp_path / 'a'}", "the same command")
    page, runs = tmp_path / "a" / "report.html", (tmp_path / "a" / "runs.jsonl").read_text()
    assert "Scores on the test file" not in page.read_text(), "what was fitted is kept"
    write_csv(test, [(TOYS.texts[1] + " very", TOYS.labels[1])])
    again = fewtune("fit", toys_csv, *quick, "--test", test, "--out", tmp_path / "a", "--json")
    assert json.loads(again.out)["test"]["rows"] == 1
    assert (tmp_path / "a" / "runs.jsonl").read_text() == runs, "no run is repeated"


@pytest.mark.parametrize("name", ["missing.csv", "no/such/folder/test.csv", "/no/such/test.csv", "missing"])
def test_a_test_file_that_is_not_there_is_said_before_the_work(fewtune, toys_csv, quick, tmp_path, name):
    answer = fewtune("fit", toys_csv, *quick, "--test", name, "--out", tmp_path / "a")
    clear(answer, 2, "no such file")
    assert not (tmp_path / "a" / "runs.jsonl").exists()


def test_a_pool_from_a_file(fewtune, toys_csv, quick, tmp_path):
    pool = write_csv(tmp_path / "pool.csv", [(text,) for text in toy_dataset(6, seed=2).texts], header=("message",))
    options = ["--unlabelled", pool, "--method", "self_training", "--json", "--out", tmp_path / "a"]
    answer = fewtune("fit", toys_csv, *quick, *options)
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    assert result["data"]["unlabelled"] == {"source": str(pool), "rows": 18}
    assert [rung["name"] for rung in result["ladder"]] == ["majority", "probe", "self_training"]


def test_two_backbones(fewtune, toys_csv, quick, tiny_folders, tmp_path):
    answer = fewtune("fit", toys_csv, *quick, "--backbone", tiny_folders("roberta"), "--json", "--out", tmp_path / "a")
    assert answer.code == 0, answer.err
    assert [rung["name"] for rung in json.loads(answer.out)["ladder"]] == ["majority", "probe", "probe"]
    assert load(tmp_path / "a").predict_proba(["red"]).shape == (1, 3)


def test_a_budget_of_a_moment_still_gives_an_answer(fewtune, toys_csv, tiny_folders, tmp_path):
    options = ["--backbone", tiny_folders("bert"), "--budget", "0.01s", "--json", "--out", tmp_path]
    answer = fewtune("fit", toys_csv, *options)
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    skipped = [rung for rung in result["ladder"] if rung["status"] == "skipped"]
    assert skipped
    assert all("budget" in rung["reason"] for rung in skipped)
    assert any("--budget" in advice["do"] for advice in result["verdict"]["advice"])


def test_quiet_says_nothing_on_the_way(fewtune, toys_csv, quick, tmp_path):
    answer = fewtune("fit", toys_csv, *quick, "--quiet", "--json", "--out", tmp_path / "a")
    assert answer.err == ""
    assert json.loads(answer.out)["rows"] == 24


def clear(answer, code, *words):
    """One clear line, no traceback, nothing on standard output."""
    assert answer.code == code, answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    last = answer.err.strip().splitlines()[-1]
    assert last.startswith("fewtune: ")
    assert len(last) < 500
    for word in words:
        assert word.lower() in last.lower(), last


def rows_of(labels, texts=None):
    texts = texts or [f"{text} {number}" for number, text in enumerate((TOYS.texts * 9)[: len(labels)])]
    return list(zip(texts, labels, strict=True))


def many_classes(path):
    write_csv(path, rows_of([f"class {number}" for number in range(10_000)], [f"text {n}" for n in range(10_000)]))


BAD_FILES = {
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "header only": (lambda path: path.write_text("text,label\n"), "no rows"),
    "one class": (lambda path: write_csv(path, rows_of(["a"] * 9)), "one label"),
    "two classes, one of a single row": (lambda path: write_csv(path, rows_of(["a"] * 9 + ["b"])), "single row"),
    "a number to predict": (
        lambda path: write_csv(path, rows_of([f"{n * 1.37:.2f}" for n in range(40)])),
        "regression",
    ),
    "all texts equal": (lambda path: write_csv(path, rows_of(["a", "b"] * 9, ["same"] * 18)), "same text"),
    "all texts empty": (lambda path: write_csv(path, rows_of(["a", "b"] * 9, [" "] * 18)), "text"),
    "all labels empty": (lambda path: write_csv(path, rows_of([""] * 18)), "label"),
    "ten thousand classes": (many_classes, "distinct labels"),
    "binary": (lambda path: path.write_bytes(bytes(range(256)) * 40), "."),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps({"a": list(range(99))})), "."),
    "a torn parquet": (lambda path: path.write_bytes(b"PAR1" + b"\x00" * 60), "."),
    "torn JSON": (lambda path: path.write_text('[{"text": "a", "label"'), "."),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_will_not_do(fewtune, quick, tmp_path, name):
    make, word = BAD_FILES[name]
    path = tmp_path / "rows.csv"
    make(path)
    answer = fewtune("fit", path, *quick, "--out", tmp_path / "a")
    assert answer.code in (1, 2)
    clear(answer, answer.code, word, *([] if word == "single row" else ["rows.csv"]))


def test_a_missing_column_and_a_missing_file(fewtune, toys_csv, quick, tmp_path):
    clear(fewtune("fit", toys_csv, *quick, "--label", "colour"), 2, "colour", "label")
    clear(fewtune("fit", toys_csv, *quick, "--text", "body"), 2, "body")
    clear(fewtune("fit", toys_csv, *quick, "--group", "customer"), 2, "customer")
    clear(fewtune("fit", toys_csv.with_name("toyz.csv"), *quick), 2, "no such file", "toys.csv")
    clear(fewtune("fit", tmp_path, *quick), 2, "folder")


def test_files_that_are_odd_but_will_do(fewtune, quick, tmp_path):
    """Empty cells, repeated ids, a class of one row, Latin letters in an old encoding, and a cell of a megabyte."""
    rows = [(number // 2, *row) for number, row in enumerate(zip(TOYS.texts, TOYS.labels, strict=True))]
    rows += [(90, "", "animals"), (91, "one without a label", ""), (92, "née Müller été", "names")]
    rows += [(93, "dog cat horse " * 75_000, "animals")]
    path = write_csv(tmp_path / "rows.csv", rows, header=("id", "text", "label"))
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    answer = fewtune("fit", path, *quick, "--json", "--out", tmp_path / "a")
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    assert result["rows"] == 26
    notes = " ".join(result["data"]["notes"])
    for word in ("no text", "no label", "repeated ids", "one row", "longer than the backbone reads"):
        assert word in notes, notes


def test_backbones_that_will_not_do(fewtune, toys_csv, tiny_folders, tmp_path):
    rest = ["--method", "probe", "--budget", "none", "--out", tmp_path / "a"]
    clear(fewtune("fit", toys_csv, "--backbone", "nobody/nothing", *rest), 1, "nobody/nothing", "--backbone")
    clear(fewtune("fit", toys_csv, "--backbone", tmp_path / "none", *rest), 1, "no folder")
    damaged = shutil.copytree(tiny_folders("bert"), tmp_path / "damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    clear(fewtune("fit", toys_csv, "--backbone", damaged, *rest), 1, str(damaged), "again")
    weights.rename(damaged / "pytorch_model.bin")
    clear(fewtune("fit", toys_csv, "--backbone", damaged, *rest), 1, "pickle", "refused")


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--budget", "soon", "--budget"),
        ("--budget", "-5m", "--budget"),
        ("--method", "magic", "probe"),
        ("--abstain", "1.5", "--abstain"),
        ("--folds", "1", "folds"),
        ("--repeats", "0", "repeats"),
        ("--unlabelled", "/no/such/pool.csv", "no such file"),
    ],
)
def test_options_that_cannot_be_meant(fewtune, toys_csv, quick, tmp_path, option, value, word):
    clear(fewtune("fit", toys_csv, *quick, "--out", tmp_path / "a", option, value), 2, word)


def test_words_the_command_line_does_not_know(fewtune, toys_csv):
    for args in (("fit",), ("fit", toys_csv, "--colour"), ("fit", toys_csv, "--folds", "many"), ("paint",)):
        answer = fewtune(*args)
        assert answer.code == 2
        assert "Traceback" not in answer.err
        assert answer.err


def test_result_folders_that_cannot_be_written(fewtune, toys_csv, quick, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    clear(fewtune("fit", toys_csv, *quick, "--out", tmp_path / "file"), 1, "--out")
    clear(fewtune("fit", toys_csv, *quick, "--out", tmp_path / "file" / "x"), 1, "--out")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    clear(fewtune("fit", toys_csv, *quick, "--out", tmp_path / "a"), 1, "No space left", "--out")


def test_a_full_disk_then_room_again(fewtune, toys_csv, quick, tmp_path):
    """What was finished before the disk was full is not computed again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        clear(fewtune("fit", toys_csv, *quick, "--out", disk / "a"), 1, "Free some space")
        lines = (disk / "a" / "runs.jsonl").read_bytes()
        assert lines.count(b"\n") >= 6
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        answer = fewtune("fit", toys_csv, *quick, "--out", disk / "a")
        assert answer.code == 0, answer.err
        assert (disk / "a" / "runs.jsonl").read_bytes().startswith(lines)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_folder_of_ones_own_called_model_is_not_deleted(fewtune, toys_csv, quick, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("years of work")
    clear(fewtune("fit", toys_csv, *quick, "--out", tmp_path), 2, "no fit wrote")
    assert (tmp_path / "model" / "thesis.txt").read_text() == "years of work"
