"""`fewtune score` as a person calls it."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def files(tmp_path):
    """Answers of two systems, the second worse."""
    for name, answer in (("a", "one two three four five"), ("b", "one four")):
        rows = [{"prompt": f"p{row}", "reference": "one two three four five", "answer": answer} for row in range(12)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


def test_a_file_is_scored(fewtune, files):
    answer = fewtune("score", files / "a.jsonl")
    assert answer.code == 0, answer.err
    assert "BLEU" in answer.out
    assert "Columns: answers in 'answer'" in answer.err


def test_two_files_are_compared(fewtune, files):
    answer = fewtune("score", files / "a.jsonl", "--against", files / "b.jsonl", "--metric", "chrf", "--json")
    told = json.loads(answer.out)
    assert told["comparisons"]["chrf"]["verdict"] == "better"
    assert told["against"]["source"].endswith("b.jsonl")


def test_a_score_of_ones_own_and_a_file_of_scores(fewtune, files):
    (files / "own.py").write_text("def short(outputs, references):\n    return [len(o) < 10 for o in outputs]\n")
    out = files / "scores.json"
    answer = fewtune("score", files / "b.jsonl", "--own", f"short={files / 'own.py'}:short", "--out", out)
    assert answer.code == 0, answer.err
    assert json.loads(out.read_text(encoding="utf-8"))["scores"]["short"]["mean"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.jsonl"], "no such file"),
        (["{a}", "--answer", "nope"], "There is no column 'nope'"),
        (["{a}", "--metric", "meteor"], "There is no score 'meteor'"),
        (["{a}", "--own", "nope"], "names no score of your own"),
        (["{a}", "--against", "{a}", "--group", "shop"], "There is no column 'shop'"),
        (["{a}", "--seed", "-1"], "seed must be a whole number"),
        (["{a}", "--out", "{folder}/none/scores.json"], "cannot be written"),
    ],
)
def test_what_cannot_be_meant_is_one_line(fewtune, files, arguments, said):
    answer = fewtune("score", *(one.format(a=files / "a.jsonl", folder=files) for one in arguments))
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
