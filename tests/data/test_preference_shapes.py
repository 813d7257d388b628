"""Preferences in another shape, from Python and through `convert`: nothing is called better than it was."""

import json

import pytest

from fewtune import read
from fewtune.data.convert import convert
from fewtune.data.preference_shapes import as_pairs, as_singles, as_written
from fewtune.data.preferences import read_preferences
from fewtune.data.read import read_to_fit
from fewtune.errors import ColumnError, DataError, TaskError, UsageError


def pair(prompt, chosen, rejected, **more):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


def single(prompt, completion, label):
    return {"prompt": prompt, "completion": completion, "label": label}


def read_rows(rows):
    return read(rows, labelled=None)


def answers(dataset):
    return [(one.text, one.completion, one.label) for one in dataset]


def test_pairs_are_recognised_and_their_columns_said():
    found = read_rows([pair(f"p{n}", "good", "bad", source="web") for n in range(4)])
    first = found.examples[0]
    assert found.task == "preference"
    assert (first.text, first.completion, first.rejected, first.fields) == ("p0", "good", "bad", {"source": "web"})
    assert "Preferences: prompt in 'prompt', chosen in 'chosen', rejected in 'rejected'." in found.notes


def test_single_answers_are_recognised_by_labels_of_true_and_false_alone():
    found = read_rows([single(f"p{n}", "said", n % 2 == 0) for n in range(4)])
    assert found.task == "preference"
    assert found.classes == ("unwanted", "wanted")
    classes = read_rows([single(f"p{n}", "said", "ab"[n % 2]) for n in range(4)])
    assert classes.task == "generation", "labels that are names say nothing of what is wanted"
    numbers = [single(f"p{n}", "said", n % 2) for n in range(4)]
    assert read_rows(numbers).task == "generation", "0 and 1 may be classes"
    assert read(numbers, labelled=None, task="preference").task == "preference"


def test_rows_that_part_too_early_are_left_out_and_told_but_prefer_refuses_them():
    said = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    other = [{"role": "user", "content": "v"}, {"role": "assistant", "content": "b"}]
    rows = [{"chosen": said, "rejected": [said[0], other[1]]}] * 4 + [{"chosen": said, "rejected": other}]
    found = read_rows(rows)
    assert len(found) == 4
    assert any(note.startswith("1 of 5 rows is left out: the chosen and") and "Row 5." in note for note in found.notes)
    with pytest.raises(DataError, match="row 5"):
        read_preferences(rows)
    with pytest.raises(DataError, match="row 1"):
        read_rows([rows[4]] * 3)


def test_naming_columns_or_a_task_overrides_what_is_recognised():
    rows = [pair(f"p{n}", "good", "bad", topic="ab"[n % 2]) for n in range(4)]
    assert read(rows, text="prompt", label="topic").task == "classification"
    written = read(rows, labelled=None, task="generation")
    assert (written.task, written.examples[0].completion, written.examples[0].rejected) == ("generation", "good", None)
    assert any("4 others are left out" in note for note in written.notes)
    wanted = read([single(f"p{n}", f"said {n}", n != 1) for n in range(4)], labelled=None, task="generation")
    assert [one.completion for one in wanted] == ["said 0", "said 2", "said 3"]
    with pytest.raises(ColumnError, match="There is no column 'chosen'"):
        read([{"prompt": "p", "answers": "a"}], labelled=None, task="preference")


def test_fit_sends_preferences_to_where_they_are_learnt_from():
    rows = [pair(f"p{n}", f"good {n}", "bad") for n in range(6)]
    with pytest.raises(TaskError, match="fewtune prefer"):
        read_to_fit(rows)
    assert len(read_to_fit(rows, task="generation")) == 6


def test_what_is_read_for_any_purpose_is_what_prefer_reads():
    rows = [pair(f"p{n}", f"good {n}", "bad", id=f"r{n}") for n in range(5)]
    assert read_preferences(rows).fingerprint == read_rows(rows).fingerprint


def test_pairs_become_single_answers_each_once():
    found, told = as_singles(read_rows([pair("p", "best", "good"), pair("p", "best", "bad"), pair("q", "yes", "no")]))
    assert answers(found) == [
        ("p", "best", "wanted"),
        ("p", "good", "unwanted"),
        ("p", "bad", "unwanted"),
        ("q", "yes", "wanted"),
        ("q", "no", "unwanted"),
    ]
    assert len({one.id for one in found}) == len(found)
    assert told == ["Which answer was preferred to which is no longer said, only whether each is wanted."]


def test_an_answer_between_two_others_is_neither_wanted_nor_unwanted():
    found, told = as_singles(read_rows([pair("p", "best", "good"), pair("p", "good", "bad"), pair("q", "good", "no")]))
    assert ("p", "good", "wanted") not in answers(found)
    assert ("p", "good", "unwanted") not in answers(found)
    assert ("q", "good", "wanted") in answers(found), "of another prompt"
    assert told[1] == "1 answer was chosen in one pair and rejected in another: left out."


def test_single_answers_become_pairs_of_one_prompt():
    rows = [single("p", "a", True), single("P ", "b", False), single("p", "c", False), single("q", "d", True)]
    found, told = as_pairs(read_rows(rows))
    assert [(one.text, one.completion, one.rejected) for one in found] == [("p", "a", "b"), ("p", "a", "c")]
    assert told == ["1 answer has no other to the same prompt to be held against: left out."]
    there_and_back, _ = as_singles(found)
    assert {one[1:] for one in answers(there_and_back)} == {("a", "wanted"), ("b", "unwanted"), ("c", "unwanted")}


def test_what_is_to_be_written_is_never_what_was_not_wanted():
    found, told = as_written(read_rows([single("p", "a", True), single("p", "b", False)]))
    assert [one.completion for one in found] == ["a"]
    assert told == ["1 answer was rejected or not wanted: left out."]
    assert as_written(read_rows([pair("p", "a", "b")]))[0].examples[0].completion == "a"


def test_convert_goes_between_the_shapes_and_names_what_is_lost(tmp_path):
    rows = [pair(f"p{n}", f"good {n}", f"bad {n}") for n in range(3)]
    done = convert(read_rows(rows), tmp_path / "kto.jsonl", to="kto")
    assert done.rows == 6
    assert json.loads(done.path.read_text().splitlines()[1])["label"] is False
    back = convert(read(done.path, labelled=None), tmp_path / "back.jsonl", to="preferences")
    said = [json.loads(line) for line in back.path.read_text().splitlines()]
    assert [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in said] == rows
    assert back.lost == ()
    chat = convert(read_rows(rows), tmp_path / "chat.jsonl", to="chat")
    assert chat.lost == ("3 answers were rejected or not wanted: left out.",)
    assert json.loads(chat.path.read_text().splitlines()[0])["messages"][1]["content"] == "good 0"


def test_a_conversation_makes_every_row_a_list_of_messages(tmp_path):
    said = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    rows = [pair("p", "good", "bad"), {"prompt": said, "chosen": "yes", "rejected": "no"}]
    done = convert(read_rows(rows), tmp_path / "rows.jsonl", to="preferences")
    first, second = (json.loads(line) for line in done.path.read_text().splitlines())
    assert first["prompt"] == [{"role": "user", "content": "p"}]
    assert second["prompt"] == said
    assert second["rejected"] == [{"role": "assistant", "content": "no"}]
    whole = convert(read_rows(rows), tmp_path / "whole.jsonl", to="preferences-whole")
    second = json.loads(whole.path.read_text().splitlines()[1])
    assert second["chosen"] == [*said, {"role": "assistant", "content": "yes"}]
    assert "prompt" not in second


def test_what_cannot_be_made_is_refused(tmp_path):
    completions = read([{"prompt": "p", "completion": "c"}], labelled=None)
    with pytest.raises(UsageError, match="kto files hold preferences, and these rows are for generation"):
        convert(completions, tmp_path / "rows.jsonl", to="kto")
    wanted = read_rows([single("p", "a", True), single("q", "b", True)])
    with pytest.raises(UsageError, match="Nothing is left to write as preferences"):
        convert(wanted, tmp_path / "rows.jsonl", to="preferences")
    with pytest.raises(UsageError, match="spacy files hold labels, and these rows are for preference"):
        convert(read_rows([pair("p", "a", "b")]), tmp_path / "rows.jsonl", to="spacy")


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_tables_of_preferences_are_read_as_what_they_were(tmp_path, suffix):
    for rows in ([pair(f"p{n}", "a", "b") for n in range(3)], [single(f"p{n}", "a", n == 1) for n in range(3)]):
        given = read_rows(rows)
        done = convert(given, tmp_path / f"rows.{suffix}", overwrite=True)
        assert done.lost == ()
        assert read(done.path, labelled=None).fingerprint == given.fingerprint
