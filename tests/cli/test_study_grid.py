"""`fewtune study grid` and `--executor` as a person calls them."""

import json

import pytest

from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys


@pytest.fixture
def grid(fewtune, toys_csv, tiny_folders, tmp_path):
    def call(*options, file=toys_csv, folder="g"):
        quick = ["--backbone", tiny_folders("bert"), "--folds", 3, "--repeats", 1, "--out", tmp_path / folder]
        return fewtune("study", "grid", file, "--method", "probe", *quick, *options)

    return call


def test_a_table_with_verdicts_a_caution_and_a_result(grid, tmp_path):
    answer = grid("--set", "default_strength=1,100")
    assert answer.code == 0, answer.err
    said = " ".join(answer.out.split())
    assert "the default" in said
    assert "cannot be told apart" in said
    assert "too good" in said
    assert "one grid of twenty" in said
    assert "3 settings on splits 1 to 2" in answer.err
    found = json.loads((tmp_path / "g" / "grid.json").read_text())
    assert found["study"] == "grid"
    assert found["runs_of_all"] == 9


def test_json_alone_and_the_same_again_computes_nothing(grid, tmp_path):
    first = grid("--set", "default_strength=1", "--json", "--no-halving")
    lines = (tmp_path / "g" / "runs.jsonl").read_bytes()
    again = grid("--set", "default_strength=1", "--json", "--no-halving")
    assert json.loads(first.out) == json.loads(again.out)
    assert (tmp_path / "g" / "runs.jsonl").read_bytes() == lines
    assert json.loads(first.out)["looks"] == []


def test_a_grid_in_the_folder_of_a_fit_reads_its_runs(fewtune, grid, toys_csv, quick, tmp_path):
    assert fewtune("fit", toys_csv, *quick, "--out", tmp_path / "g").code == 0
    before = (tmp_path / "g" / "runs.jsonl").read_text().count("\n")
    answer = grid("--set", "default_strength=10", "--json")
    assert answer.code == 0, answer.err
    assert (tmp_path / "g" / "runs.jsonl").read_text().count("\n") == before, "the default was judged by the fit"
    assert len(json.loads(answer.out)["candidates"]) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "strength=1"], "no setting called 'strength'. It has strengths"),
        (["--set", "default_strength"], "Write it like --set rate"),
        (["--set", "default_strength=x"], "no number"),
        (["--set", "default_strength=1", "--risk", 2], "--risk"),
        (["--set", "default_strength=1", "--executor", "magic"], "no executor called 'magic'. Known: auto, serial"),
        (["--set", "default_strength=1", "--ray-address", "a:1"], "give it with --executor ray"),
        (["--set", "default_strength=1", "--budget", "soon"], "no length of time"),
        ([], "--set"),
    ],
)
def test_what_cannot_be_meant(grid, options, said):
    answer = grid(*options)
    assert answer.code == 2
    assert said in " ".join(answer.err.split())
    assert "Traceback" not in answer.err


def test_a_folder_with_other_files_is_left_alone(grid, tmp_path):
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "thesis.txt").write_text("years of work")
    answer = grid("--set", "default_strength=1")
    assert answer.code == 2
    assert "thesis.txt" in answer.err


def test_the_executor_of_a_fit_changes_no_result_and_repeats_no_run(fewtune, toys_csv, quick, tmp_path):
    folders = {name: tmp_path / name for name in ("serial", "forked")}
    results = {}
    for name, folder in folders.items():
        answer = fewtune("fit", toys_csv, *quick, "--executor", name, "--json", "--out", folder)
        assert answer.code == 0, answer.err
        results[name] = json.loads(answer.out)["ladder"]
    assert [rung["cv"]["accuracy"] for rung in results["serial"]] == [r["cv"]["accuracy"] for r in results["forked"]]
    lines = (folders["serial"] / "runs.jsonl").read_bytes()
    assert fewtune("fit", toys_csv, *quick, "--executor", "forked", "--out", folders["serial"]).code == 0
    assert (folders["serial"] / "runs.jsonl").read_bytes() == lines


def test_rows_to_write_are_judged_by_bits_per_byte(fewtune, tmp_path):
    rows = tmp_path / "rows.jsonl"
    said = [{"prompt": one.prompt, "completion": one.completion} for one in writer_toys(8)]
    rows.write_text("".join(json.dumps(row) + "\n" for row in said), encoding="utf-8")
    quick = ["--backbone", make_tiny_writer(tmp_path / "llama"), "--folds", 2, "--repeats", 1, "--out", tmp_path / "g"]
    grid = ["study", "grid", rows, "--method", "ia3", *quick, "--set", "epochs=1", "--set", "least_steps=1"]
    answer = fewtune(*grid)
    assert answer.code == 0, answer.err
    assert "Bits/byte" in answer.out
    assert "best bits per byte" in answer.err
    found = json.loads(fewtune(*grid, "--json").out)
    assert found["metric"] == "bits_per_byte"
    assert found["method"] == "ia3"
    wrong = fewtune("study", "grid", rows, "--method", "contrastive", *quick, "--set", "rate=1e-3")
    assert wrong.code == 2
    assert "no method called 'contrastive'" in " ".join(wrong.err.split())


def test_preferences_are_sent_to_where_they_are_learnt_from(fewtune, tmp_path):
    rows = tmp_path / "pairs.jsonl"
    said = [{"prompt": f"p{n}", "chosen": "a", "rejected": "b"} for n in range(6)]
    rows.write_text("".join(json.dumps(row) + "\n" for row in said), encoding="utf-8")
    answer = fewtune("study", "grid", rows, "--method", "dpo", "--set", "beta=0.1,0.3", "--out", tmp_path / "g")
    assert answer.code == 2
    assert "fewtune prefer" in answer.err
