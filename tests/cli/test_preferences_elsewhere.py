"""Preferences in the commands that are not about them alone: check, prepare, split, convert, fit."""

import json

import pytest


def pair(number, **more):
    place = ("the corner", "the station", "a river", "the church", "our school")[number % 5]
    asked = f"{number}: how do I come to {place}?"
    return {"prompt": asked, "chosen": f"Go on for {number} minutes.", "rejected": f"Who knows, {place}.", **more}


@pytest.fixture
def put(tmp_path):
    def written(rows, name="pairs.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return written


def test_check_says_what_the_columns_are_and_what_is_wrong(fewtune, put, tmp_path):
    rows = [pair(n) for n in range(20)]
    rows.append({**rows[3], "chosen": rows[3]["rejected"], "rejected": rows[3]["chosen"]})
    answer = fewtune("check", put(rows), "--no-backbone", "--out", tmp_path / "c")
    assert answer.code == 1, "a contradiction blocks"
    assert "Preferences: prompt in 'prompt', chosen in 'chosen', rejected in 'rejected'." in answer.err
    said = " ".join(answer.out.split())
    assert "2 training rows contradict another" in said
    page = (tmp_path / "c" / "audit.html").read_text(encoding="utf-8")
    assert "Preferences that contradict each other" in page
    clean = fewtune("check", put(rows[:20]), "--no-backbone", "--out", tmp_path / "d", "--json")
    assert clean.code == 0, clean.err
    plain = json.loads(clean.out)
    assert plain["task"] == "preference"
    assert {one["name"] for one in plain["checks"]} >= {"preference_rows", "preference_lengths", "copies"}
    assert "fewtune prefer" in (tmp_path / "d" / "audit.html").read_text(encoding="utf-8")


def test_split_keeps_a_prompt_on_one_side_and_names_the_command_that_learns(fewtune, put, tmp_path):
    rows = [pair(n) for n in range(20)] + [pair(n, chosen="Turn left.") for n in range(5)]
    out = tmp_path / "s"
    answer = fewtune("split", put(rows), "--out", out, "--test", 0.2, "--folds", 3)
    assert answer.code == 0, answer.err
    assert f"fewtune prefer FOLDER {out / 'train.jsonl'} --splits {out / 'splits.json'}" in answer.out
    sides = [
        {json.loads(line)["prompt"] for line in (out / f"{part}.jsonl").read_text().splitlines()}
        for part in ("train", "test")
    ]
    assert sides[1]
    assert not sides[0] & sides[1]
    plain = json.loads((out / "splits.json").read_text())
    asked = [json.loads(line)["prompt"] for line in (out / "train.jsonl").read_text().splitlines()]
    for one in plain["splits"]:
        assert not {asked[row] for row in one["train"]} & {asked[row] for row in one["test"]}
    assert any("share a group or a prompt" in note for note in plain["notes"])


def test_prefer_takes_the_splits_and_refuses_those_of_other_answers(fewtune, put, tmp_path):
    from fewtune.data.preferences import read_preferences
    from fewtune.data.split_file import SplitFile
    from fewtune.errors import UsageError

    rows = [pair(n) for n in range(20)]
    path = put(rows)
    assert fewtune("split", path, "--out", tmp_path / "s", "--folds", 4).code == 0
    found = SplitFile.read(tmp_path / "s" / "splits.json")
    found.check(read_preferences(path))
    rows[7]["rejected"] = "Another answer altogether."
    with pytest.raises(UsageError, match="was made for other rows"):
        found.check(read_preferences(put(rows)))


def test_single_answers_are_spread_evenly_by_whether_they_are_wanted(fewtune, put, tmp_path):
    rows = [{"prompt": pair(n)["prompt"], "completion": f"answer {n}", "label": n % 4 == 0} for n in range(40)]
    answer = fewtune("split", put(rows), "--out", tmp_path / "s", "--folds", 5, "--json")
    assert answer.code == 0, answer.err
    for one in json.loads(answer.out)["splits"]:
        assert sum(rows[row]["label"] for row in one["test"]) == 2


def test_prepare_cleans_every_text_and_convert_writes_the_other_form(fewtune, put, tmp_path):
    rows = [pair(n, rejected="Who  knows.") for n in range(6)] + [pair(9, rejected="")]
    answer = fewtune("prepare", put(rows), "--drop", "empty", "--out", tmp_path / "p")
    assert answer.code == 0, answer.err
    cleaned = tmp_path / "p" / "pairs.jsonl"
    assert [json.loads(line)["rejected"] for line in cleaned.read_text().splitlines()] == ["Who knows."] * 6
    done = fewtune("convert", cleaned, tmp_path / "kto.jsonl", "--to", "kto", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["rows"] == 12
    assert "no longer said" in json.loads(done.out)["lost"][0]


def test_fit_says_where_preferences_are_learnt_from(fewtune, put, tmp_path):
    answer = fewtune("fit", put([pair(n) for n in range(8)]), "--out", tmp_path / "f")
    assert answer.code == 2
    assert "fewtune prefer FOLDER FILE" in answer.err
    assert "Traceback" not in answer.err
