"""Preferences are cleaned in every text they have, and dropped for what makes them none."""

import json

import pytest

from fewtune.errors import UnreadableFile
from fewtune.preparing import prepare, undo


def pair(prompt, chosen, rejected, **more):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


ROWS = [
    pair("Where is <b>it</b>?", "At  the door.", "Das ist schÃ¶n", id="a"),
    pair("Where is it?", "At the door.", "Das ist schön", id="b"),
    pair("Where is it?", "At the door.", "No idea.", id="c"),
    pair("And then?", "Yes,  it is.", "Yes, it is.", id="d"),
    pair("When?", "", "No.", id="e"),
]


def test_prompt_and_both_answers_are_cleaned_and_said():
    found = prepare(ROWS)
    assert found.columns["prompt"][0] == "Where is it?"
    assert found.columns["chosen"][0] == "At the door."
    assert found.columns["rejected"][0] == "Das ist schön"
    assert {change.column for change in found.changes} == {"prompt", "chosen", "rejected"}
    assert any("answers in 'chosen' and 'rejected'" in note for note in found.notes)


def test_copies_are_rows_whose_answers_are_copies_too():
    found = prepare(ROWS, drop=["duplicates"])
    assert found.columns["id"] == ["a", "c", "d", "e"], "the same prompt with another answer stays"


def test_what_prefers_nothing_is_dropped_when_asked():
    found = prepare(ROWS, drop=["empty"])
    assert found.columns["id"] == ["a", "b", "c"]
    reasons = {change.id: change.reason for change in found.changes if change.column is None}
    assert reasons == {"d": "both answers are the same: nothing is preferred", "e": "nothing to read in an answer"}


def test_single_answers_keep_those_of_one_prompt_and_their_labels():
    rows = [
        {"prompt": "p", "completion": "a  b", "label": True},
        {"prompt": "p", "completion": "a b", "label": True},
        {"prompt": "p", "completion": "a b", "label": False},
        {"prompt": "p", "completion": "p", "label": False},
    ]
    found = prepare(rows, drop=["duplicates", "empty"])
    assert found.columns["completion"] == ["a b", "a b", "p"]
    assert found.columns["label"] == [True, False, False]


def test_whole_texts_without_a_prompt_are_cleaned_too():
    rows = [{"chosen": f"Shop {n} is  open.", "rejected": f"Shop {n} is old."} for n in range(3)]
    assert prepare(rows).columns["chosen"][2] == "Shop 2 is open."
    same = [*rows, {"chosen": "Shop 9 is open.", "rejected": "Shop 9 is open. "}]
    assert len(prepare(same, drop=["empty"]).columns["chosen"]) == 3


def test_personal_data_in_answers_is_found_and_masked():
    rows = [pair("Who?", "Write to ann@example.org", "No."), pair("Why?", "Because.", "Ask bob@example.org")]
    assert prepare(rows).personal_data["email"]["left"] == 2
    found = prepare(rows, mask=["email"])
    assert found.columns["rejected"][1] == "Ask [EMAIL]"
    assert found.personal_data["email"]["masked"] == 2


def test_every_change_can_be_taken_back(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    written = prepare(path, drop=["duplicates", "empty"]).save(tmp_path / "out")
    again = undo(written["cleaned"], written["changes"], tmp_path / "back")
    assert [json.loads(line) for line in again.read_text(encoding="utf-8").splitlines()] == ROWS


def test_texts_inside_messages_are_refused_with_what_to_do():
    rows = [{"prompt": [{"role": "user", "content": "p"}], "chosen": "a", "rejected": "b"}] * 2
    with pytest.raises(UnreadableFile, match="inside messages"):
        prepare(rows)
