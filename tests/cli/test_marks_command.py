"""`fewtune marks` as a person calls it."""

import json


def test_the_command_says_it_and_keeps_preferences(fewtune, tmp_path):
    names = {"first": "winner", "second": "few_shot", "blind": True}
    rows = [
        {"prompt": "p", "chosen": "good", "rejected": "bad", "mark": "better", **names},
        {"prompt": "q", "mark": "tie", **names},
    ]
    path = tmp_path / "marks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    answer = fewtune("marks", path, "--out", tmp_path / "preferences.jsonl")
    assert answer.code == 0, answer.err
    assert "cannot be told apart with this many marks" in answer.out
    kept = [json.loads(line) for line in (tmp_path / "preferences.jsonl").read_text().splitlines()]
    assert [set(row) for row in kept] == [{"prompt", "chosen", "rejected"}]
    told = json.loads(fewtune("marks", path, "--json").out)
    assert told["judged"][0]["verdict"] == "cannot be told apart"
    assert told["preferences"] == 1
    bad = fewtune("marks", tmp_path / "none.jsonl")
    assert bad.code == 2
    assert "Traceback" not in bad.err
