"""`fewtune stages`, and `fewtune fit` on several files, as a person calls them."""

import json

import pytest

from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys

TOYS = writer_toys(16).examples
QUICK = ["--method", "zero_shot", "--folds", "2", "--repeats", "1", "--budget", "none", "--executor", "serial"]
"""Nothing is tuned: how a model is asked and what is told of it costs a second."""


def put(path, examples):
    lines = [json.dumps({"prompt": one.prompt, "completion": one.completion}) for one in examples]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    make_tiny_writer(folder / "tiny")
    put(folder / "orders.jsonl", TOYS[:6])
    put(folder / "more.jsonl", TOYS[6:12])
    put(folder / "test.jsonl", TOYS[12:14])
    put(folder / "other.jsonl", [*TOYS[14:], TOYS[6]])
    (folder / "labels.csv").write_text("text,label\n" + "".join(f"row {n},{'ab'[n % 2]}\n" for n in range(8)))
    return folder


def test_stages_go_from_files_to_a_page(fewtune, place):
    out = place / "out"
    files = [place / "orders.jsonl", f"sums={place / 'more.jsonl'}", "--out", out, "--backbone", place / "tiny"]
    tests = ["--test", place / "test.jsonl", "--test", place / "other.jsonl"]
    answer = fewtune("stages", *files, *tests, *QUICK, "--replay", "earlier", "--replay", "general", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert [stage["name"] for stage in found["stages"]] == ["orders", "sums"]
    assert [stage["left_out"] for stage in found["stages"]] == [0, 1], "a row that is learnt examines nobody"
    assert "changed no weights" in found["verdict"]["sentence"]
    assert [row["cells"]["orders"] for row in found["table"]] == [found["table"][0]["cells"]["orders"]] * 3
    assert found == json.loads((out / "result.json").read_text())
    (out / "report.html").unlink()
    assert fewtune("report", out).code == 0
    assert "After each stage" in (out / "report.html").read_text()
    told = fewtune("stages", *files, *tests, *QUICK, "--replay", "earlier", "--replay", "general")
    assert told.code == 0
    assert "Before any stage" in told.out
    assert "Zero-shot" not in told.err, "finished stages are passed over"


def test_several_files_are_tasks_of_one_tuning(fewtune, place):
    out = place / "both"
    files = [place / "orders.jsonl", f"sums={place / 'more.jsonl'}", "--out", out, "--backbone", place / "tiny"]
    tests = ["--test", place / "test.jsonl", "--test", place / "other.jsonl"]
    put(place / "again.jsonl", TOYS[13:14])
    answer = fewtune("fit", *files, *tests, *QUICK, "--temperature", "1", "--replay", place / "again.jsonl")
    assert answer.code == 0, answer.err
    assert "nothing was tuned" in answer.out
    found = json.loads((out / "result.json").read_text())
    assert [(one["name"], one["rows"], one["share"]) for one in found["tasks"]] == [
        ("orders", 6, 0.5),
        ("sums", 6, 0.5),
    ]
    assert [one["test"]["rows"] for one in found["tasks"]] == [2, 3]
    assert [len(one["test"]["leaks"]) for one in found["tasks"]] == [1, 1], "what is learnt examines nobody"
    assert found["test"] is None
    assert found["verdict"]["hurt"] == []
    assert not any("--test" in step["do"] for step in found["verdict"]["advice"])
    page = (out / "report.html").read_text()
    assert "Task by task" in page
    assert "not compared" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stages", "orders.jsonl"], "two or more"),
        (["stages", "orders.jsonl", "none.jsonl"], "none.jsonl"),
        (["stages", "orders.jsonl", "labels.csv"], "labelled rows"),
        (["stages", "orders.jsonl", "orders.jsonl"], "same name"),
        (["stages", "orders.jsonl", "more.jsonl", "--test", "test.jsonl"], "1 test files for 2"),
        (["stages", "orders.jsonl", "more.jsonl", "--method", "magic"], "no method called 'magic'"),
        (["stages", "orders.jsonl", "more.jsonl", "--replay", "none.txt"], "none.txt"),
        (["stages", "none.toml"], "cannot be read"),
        (["fit", "orders.jsonl", "labels.csv"], "Several files at once are for models that write"),
        (["fit", "orders.jsonl", "more.jsonl", "--test", "test.jsonl"], "1 test files for 2"),
        (["fit", "orders.jsonl", "more.jsonl", "--temperature", "0"], "temperature"),
        (["fit", "orders.jsonl", "--replay", "general", "--replay-share", "2"], "between 0 and 1"),
        (["fit", "orders.jsonl", "--replay", "none.txt"], "Check the path given with --replay"),
        (["fit", "labels.csv", "--replay", "general"], "for models that write"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_line(fewtune, place, monkeypatch, arguments, said):
    monkeypatch.chdir(place)
    answer = fewtune(*arguments, "--out", "nowhere")
    assert answer.code == 2, answer.err
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not (place / "nowhere" / "model").exists()
