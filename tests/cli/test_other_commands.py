"""`fewtune predict`, `report` and `runs`; help at once; an interruption that loses nothing."""

import csv
import io
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from cli_child import Child
from csv_files import write_csv
from test_fit_command import clear, without_times

from fewtune import load
from fewtune.study.store import RunStore
from fewtune.testing.toys import toy_dataset

NEW = ["my dog and a cat", "red and blue", "the old hammer", "a line\nand another", '"quoted", with a comma', "😀 שלום"]


@pytest.fixture
def labels(result_folder):
    model = load(result_folder)
    probs = model.predict_proba(NEW)
    return [model.classes[place] for place in probs.argmax(1)], probs.max(1)


def test_texts_as_arguments(fewtune, result_folder, labels):
    answer = fewtune("predict", result_folder, *NEW)
    assert answer.code == 0, answer.err
    lines = [line.split("\t") for line in answer.out.splitlines()]
    assert [line[0] for line in lines] == labels[0]
    assert [float(line[1]) for line in lines] == pytest.approx(labels[1].tolist(), abs=6e-4)
    assert lines[3][2] == "a line and another"


def test_json_lines(fewtune, result_folder, labels):
    answer = fewtune("predict", result_folder, *NEW, "--json", "--probabilities")
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [row["text"] for row in rows] == NEW
    assert [row["label"] for row in rows] == labels[0]
    for row in rows:
        shares = [value for key, value in row.items() if key.startswith("p(")]
        assert len(shares) == 3
        assert sum(shares) == pytest.approx(1.0, abs=1e-5)
        assert row["probability"] == max(shares)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_file_of_rows_in_and_a_table_out(fewtune, result_folder, labels, tmp_path, suffix):
    rows = write_csv(tmp_path / "rows.csv", [(text,) for text in NEW], header=("message",))
    out = tmp_path / f"labelled{suffix}"
    answer = fewtune("predict", result_folder, rows, "--out", out)
    assert answer.code == 0, answer.err
    assert answer.out == ""
    assert "6 rows written" in answer.err
    readers = {".parquet": pd.read_parquet, ".jsonl": lambda path: pd.read_json(path, lines=True)}
    table = readers.get(suffix, lambda path: pd.read_csv(path, sep="," if suffix == ".csv" else "\t"))(out)
    assert table["text"].tolist() == NEW
    assert table["label"].tolist() == labels[0]
    assert table["probability"].tolist() == pytest.approx(labels[1].tolist(), abs=1e-5)


def test_the_text_column_of_a_file_is_named(fewtune, result_folder, tmp_path):
    rows = write_csv(tmp_path / "rows.csv", [("x", "the dog"), ("y", "red")], header=("one", "two"))
    answer = fewtune("predict", result_folder, rows, "--text", "two", "--json")
    assert [json.loads(line)["text"] for line in answer.out.splitlines()] == ["the dog", "red"]


def test_rows_left_out_are_said(fewtune, result_folder, tmp_path):
    rows = write_csv(tmp_path / "rows.csv", [("a", "the dog"), ("b", " "), ("c", "red")], header=("id", "text"))
    answer = fewtune("predict", result_folder, rows)
    assert len(answer.out.splitlines()) == 2
    assert "1 of 3 rows" in answer.err


@pytest.mark.parametrize("given", [(), ("-",)])
def test_standard_input(fewtune, result_folder, monkeypatch, given):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("the dog\n\nred\r\n\xff".encode("latin-1"))))
    answer = fewtune("predict", result_folder, *given, "--json")
    assert answer.code == 0, answer.err
    assert [json.loads(line)["text"] for line in answer.out.splitlines()] == ["the dog", "red", "�"]


def test_nothing_on_standard_input(fewtune, result_folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b" \n\n")))
    clear(fewtune("predict", result_folder), 2, "no text")


def test_bytes_that_are_no_text(fewtune, result_folder):
    """What a shell passes on from a file name in another encoding."""
    answer = fewtune("predict", result_folder, "caf\udce9", "--json")
    assert answer.code == 0, answer.err
    assert len(answer.out.splitlines()) == 1


def test_predictions_that_cannot_be_made(fewtune, result_folder, tmp_path):
    clear(fewtune("predict", tmp_path / "none", "a"), 2, "no folder")
    clear(fewtune("predict", tmp_path, "a"), 2, "no model")
    clear(fewtune("predict", result_folder, "a", "--out", tmp_path / "x.doc"), 2, ".csv")
    clear(fewtune("predict", result_folder, "rows_nobody_wrote.csv"), 2, "no such file")
    (tmp_path / "rows.csv").write_bytes(b"")
    clear(fewtune("predict", result_folder, tmp_path / "rows.csv"), 2, "empty")
    damaged = shutil.copytree(result_folder / "model", tmp_path / "damaged")
    (damaged / "head.safetensors").write_bytes(b"")
    clear(fewtune("predict", damaged, "a"), 1, "again")


def test_two_thousand_texts_from_a_file_are_all_labelled(fewtune, result_folder, tmp_path):
    texts = [text for seed in range(8) for text in toy_dataset(84, seed=seed).texts][:2000]
    rows = write_csv(tmp_path / "rows.csv", [(text,) for text in texts], header=("text",))
    answer = fewtune("predict", result_folder, rows, "--out", tmp_path / "out.csv")
    assert answer.code == 0, answer.err
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2000


def test_the_page_is_rebuilt(fewtune, result_folder, tmp_path, monkeypatch):
    folder = shutil.copytree(result_folder, tmp_path / "fit")
    monkeypatch.delenv("DISPLAY", raising=False)
    (folder / "report.html").unlink()
    answer = fewtune("report", folder)
    assert answer.code == 0, answer.err
    assert answer.out.strip() == str(folder / "report.html")
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert json.loads(fewtune("report", folder, "--json").out)["rows"] == 24
    clear(fewtune("report", tmp_path / "none"), 1, "fewtune fit")


def test_the_store_is_listed(fewtune, result_folder):
    answer = fewtune("runs", result_folder)
    assert answer.code == 0
    assert "majority" in answer.out
    assert "probe" in answer.out
    assert fewtune("runs", result_folder.parent).out == answer.out
    lines = [json.loads(line) for line in fewtune("runs", result_folder, "--json").out.splitlines()]
    assert {line["method"] for line in lines} == {"majority", "probe"}
    assert len({line["key"] for line in lines}) == len(lines) >= 6


def test_the_listed_score_is_of_whole_training_sides(fewtune, result_folder):
    """The learning curve's runs on parts of the rows are counted beside, not averaged in."""
    result = json.loads((result_folder / "result.json").read_text())
    probe = next(rung for rung in result["ladder"] if rung["name"] == "probe")
    (told,) = [line for line in fewtune("runs", result_folder).out.splitlines() if "probe" in line]
    splits = result["resampling"]["splits"]
    every = [line for line in fewtune("runs", result_folder, "--json").out.splitlines() if '"probe"' in line]
    assert len(every) > splits
    assert f"{splits:>4} runs  accuracy {probe['cv']['accuracy']['mean']:.3f}" in told
    assert told.endswith(f"and {len(every) - splits} on parts of the rows")


def test_fits_on_other_rows_are_listed_apart(fewtune, result_folder, tmp_path):
    folder = shutil.copytree(result_folder, tmp_path / "fit")
    lines = (folder / "runs.jsonl").read_text().splitlines()
    other = [json.dumps({**json.loads(line), "key": f"other-{n}", "data": "0ther"}) for n, line in enumerate(lines)]
    (folder / "runs.jsonl").write_text("\n".join([*lines, *other]) + "\n")
    told = fewtune("runs", folder).out.splitlines()
    assert sum(" on rows " in line for line in told) == 2
    assert len({line for line in told if "probe" in line}) == 1
    assert sum("probe" in line for line in told) == 2


def test_odd_lines_are_passed_over_and_said(fewtune, result_folder, tmp_path):
    folder = shutil.copytree(result_folder, tmp_path / "fit")
    with (folder / "runs.jsonl").open("ab") as file:
        file.write(b'{"key": "x"}\n\xff\xfe\n[1]\n{"key": "torn')
    before, answer = fewtune("runs", result_folder), fewtune("runs", folder)
    assert answer.code == 0, answer.err
    assert "damaged" not in before.err
    assert f"{folder / 'runs.jsonl'}: 4 lines are damaged" in answer.err
    assert answer.out.splitlines()[1:] == before.out.splitlines()[1:]
    assert fewtune("runs", folder, "--json").err == answer.err


def test_a_run_done_anew_is_one_run(fewtune, result_folder, tmp_path):
    folder = shutil.copytree(result_folder, tmp_path / "fit")
    *_, last = (folder / "runs.jsonl").read_text().splitlines()
    with (folder / "runs.jsonl").open("a") as file:
        file.write(json.dumps({**json.loads(last), "seconds": 0.125}) + "\n")
    before, after = (
        [json.loads(line) for line in fewtune("runs", one, "--json").out.splitlines()]
        for one in (result_folder, folder)
    )
    assert len(after) == len(before)
    assert after[-1]["seconds"] == 0.125


def test_no_store(fewtune, tmp_path):
    clear(fewtune("runs", tmp_path), 2, "no runs")
    clear(fewtune("runs", tmp_path / "none"), 2, "no runs")


def test_version_and_help(fewtune):
    from fewtune import __version__

    assert fewtune("--version").out.strip() == f"fewtune {__version__}"
    for command in ("fit", "predict", "report", "runs"):
        assert command in fewtune("--help").out
        assert "Usage" in fewtune(command, "--help").out


HEAVY = ("torch", "transformers", "sklearn", "scipy", "pandas", "numpy", "matplotlib", "rich.progress")
LOOK = f"import sys; print([name for name in {HEAVY!r} if name in sys.modules])"


@pytest.mark.parametrize(
    "code",
    [
        "import fewtune; dir(fewtune); fewtune.__version__",
        "import sys; sys.argv = ['fewtune', '--help']\nfrom fewtune.cli.main import app\n"
        "try: app()\nexcept SystemExit: pass",
        "import sys; sys.argv = ['fewtune', 'fit', '--help']\nfrom fewtune.cli.main import app\n"
        "try: app()\nexcept SystemExit: pass",
    ],
    ids=["import", "help", "help of fit"],
)
def test_import_and_help_load_no_heavy_library(code):
    done = subprocess.run([sys.executable, "-c", f"{code}\n{LOOK}"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture(scope="module")
def tuned(toys_csv, tiny_folders):
    """A fit of three rungs of three runs each; the last is tuned in steps."""
    options = ["--backbone", tiny_folders("bert"), "--method", "top_layers", "--folds", 3, "--repeats", 1]
    short = ["--set", "top_layers.least_steps=4", "--set", "top_layers.epochs=0.1"]
    return ["fit", toys_csv, *options, *short, "--budget", "none", "--json"]


@pytest.fixture(scope="module")
def uninterrupted(tuned, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    answer = Child(folder, *tuned, "--out", folder / "fit").ended()
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_fit_goes_on_where_it_stood(fewtune, tuned, tmp_path, uninterrupted, number):
    command = [*tuned, "--out", tmp_path / "fit"]
    child = Child(tmp_path / "said", *command, pause=(RunStore, "put", 8))
    child.wait_until_paused()
    answer = child.interrupted(number)
    if number == signal.SIGINT:
        assert answer.code == 130
        assert "the same command goes on" in answer.err
        assert "Traceback" not in answer.err
    else:
        assert answer.code == -signal.SIGKILL
    assert answer.out == ""
    assert not (tmp_path / "fit" / "result.json").exists()
    kept = (tmp_path / "fit" / "runs.jsonl").read_bytes()
    assert kept.count(b"\n") == 8
    answer = fewtune(*command)
    assert answer.code == 0, answer.err
    lines = (tmp_path / "fit" / "runs.jsonl").read_bytes()
    assert lines.startswith(kept), "what was finished was kept"
    keys = [json.loads(line)["key"] for line in lines.splitlines()]
    assert len(keys) == len(set(keys)), "nothing was computed twice"
    assert without_times(json.loads(answer.out)) == without_times(uninterrupted)


def test_same_probabilities_after_the_fit_and_from_the_folder(fewtune, result_folder):
    """What `predict` says is what the model in the folder says, to the digits shown."""
    texts = toy_dataset(5, seed=6).texts
    rows = [json.loads(line) for line in fewtune("predict", result_folder, *texts, "--json").out.splitlines()]
    np.testing.assert_allclose(
        [row["probability"] for row in rows], load(result_folder).predict_proba(texts).max(1), atol=1e-6
    )
