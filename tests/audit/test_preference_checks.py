"""What is found in preferences, and what is left alone: each fault planted, each clean set silent."""

import json

import numpy as np
import pytest

from fewtune.audit.base import Ground
from fewtune.audit.copies import Copies
from fewtune.audit.preference_conflicts import PreferenceConflicts
from fewtune.audit.preference_echoes import PreferenceEchoes
from fewtune.audit.preference_lengths import PreferenceLengths, of_pairs
from fewtune.audit.preference_rows import PreferenceRows
from fewtune.auditing import check
from fewtune.data.read import read


def pair(prompt, chosen, rejected):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def single(prompt, completion, label):
    return {"prompt": prompt, "completion": completion, "label": label}


def found(check, rows, test=None):
    others = {} if test is None else {"test": read(test, labelled=None)}
    return list(check().run(Ground(read(rows, labelled=None), **others)))


def rows_of(finding):
    return [row.row for row in finding.rows]


CLEAN = [pair(f"Where is parcel {n}?", f"It is at door {n}.", f"Nobody knows of {n}.") for n in range(12)]


@pytest.mark.parametrize("check", [PreferenceRows, PreferenceConflicts, PreferenceEchoes])
def test_a_clean_set_is_left_alone(check):
    assert found(check, CLEAN) == []
    assert found(check, [single(f"p{n}", f"a{n}", n % 2 == 0) for n in range(12)]) == []


def test_empty_and_equal_answers_are_named():
    rows = [*CLEAN, pair("p", " ", "x"), pair("q", "", ""), pair("r", "Yes,  it is.", "Yes, it is. ")]
    empty, equal = found(PreferenceRows, rows)
    assert (empty.severity, rows_of(empty)) == ("blocks", [13, 14])
    assert [row.note for row in empty.rows] == [
        "chosen with nothing in it",
        "chosen and rejected with nothing in it",
    ]
    assert (equal.severity, rows_of(equal)) == ("blocks", [15])
    (in_test,) = found(PreferenceRows, CLEAN, test=[pair("x", "a", "a"), *CLEAN])
    assert in_test.what.startswith("1 test row ")


def test_answers_of_one_kind_teach_nothing():
    (finding,) = found(PreferenceRows, [single(f"p{n}", f"a{n}", True) for n in range(5)])
    assert finding.severity == "blocks"
    assert finding.what == "All 5 answers are wanted."


def test_an_answer_far_longer_than_the_others_is_named():
    rows = [*CLEAN, pair("p", "Fine.", "word " * 400)]
    (finding,) = found(PreferenceRows, rows)
    assert rows_of(finding) == [13]
    assert finding.rows[0].note.startswith("rejected: 1,999 characters")
    assert found(PreferenceRows, [*CLEAN, pair("p", "Fine.", "x " * 60)]) == [], "six times is not far out"


def test_two_rows_against_each_other_block_and_name_each_other():
    rows = [pair("p", "a", "b"), pair("q", "a", "b"), pair(" P", "b ", "a"), pair("q", "b", "c")]
    (finding,) = found(PreferenceConflicts, rows)
    assert (finding.severity, rows_of(finding)) == ("blocks", [1, 3])
    assert [row.note for row in finding.rows] == ["against row 3", "against row 1"]


def test_a_circle_is_a_warning_and_a_chain_is_none():
    chain = [pair("p", "a", "b"), pair("p", "b", "c"), pair("p", "a", "c")]
    assert found(PreferenceConflicts, chain) == []
    (finding,) = found(PreferenceConflicts, [*chain[:2], pair("p", "c", "a"), pair("p", "c", "d")])
    assert (finding.severity, rows_of(finding)) == ("warning", [1, 2, 3])


def test_single_answers_wanted_and_unwanted_contradict():
    rows = [single("p", "a", True), single("p", "a", False), single("p", "b", False), single("q", "a", False)]
    (finding,) = found(PreferenceConflicts, rows)
    assert rows_of(finding) == [1, 2]
    several = [single("p", "a", True), single("p", "b", True), single("p", "c", False)]
    assert found(PreferenceConflicts, several) == []


def biased(share, rows=200, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for n in range(rows):
        long, short = "word " * int(rng.integers(12, 30)), "word " * int(rng.integers(2, 10))
        made.append(pair(f"p{n}", *((long, short) if rng.random() < share else (short, long))))
    return made


def test_length_as_a_reason_is_said_with_its_interval():
    (finding,) = found(PreferenceLengths, biased(0.8))
    numbers = finding.numbers
    assert finding.severity == "warning"
    assert numbers["low"] < numbers["longer_preferred"] < numbers["high"]
    assert numbers["low"] > 0.6
    assert finding.what.startswith("The longer answer was chosen in ")
    (finding,) = found(PreferenceLengths, biased(0.15))
    assert finding.severity == "warning"
    assert finding.what.startswith("The shorter answer was chosen in ")
    (finding,) = found(PreferenceLengths, biased(0.5))
    assert finding.severity == "note"
    assert "cannot be told from a coin's toss" in finding.reason
    assert found(PreferenceLengths, biased(0.8, rows=7)) == []


def test_the_interval_holds_the_truth_as_often_as_it_says():
    told = [of_pairs(read(biased(0.65, rows=60, seed=seed), labelled=None)) for seed in range(200)]
    held = sum(one.low <= 0.65 <= one.high for one in told)
    assert 180 <= held <= 199


def test_pairs_of_one_prompt_are_no_independent_rows():
    once = of_pairs(read(biased(0.7, rows=40), labelled=None))
    copies = [{**row, "chosen": row["chosen"] + "!" * n} for row in biased(0.7, rows=40) for n in range(5)]
    again = of_pairs(read(copies, labelled=None))
    assert again.rows == 5 * once.rows
    assert again.high - again.low == pytest.approx(once.high - once.low, rel=0.1)


def test_single_answers_have_the_area_under_the_curve():
    rng = np.random.default_rng(3)
    rows = [single(f"p{n}", "x" * int(rng.integers(5, 20) * (3 if n % 2 else 1)), n % 2 == 1) for n in range(80)]
    (finding,) = found(PreferenceLengths, rows)
    assert finding.severity == "warning"
    assert finding.what.startswith("A wanted answer is longer than an unwanted one ")


def test_answers_that_begin_with_their_prompt_or_hold_marks_of_a_template():
    asked = "What are the opening hours?"
    rows = [
        *CLEAN,
        pair(asked, f"{asked} From nine to five.", f"{asked} Who knows."),
        pair("Tell me.", "From nine.<|im_end|>", "No."),
        pair("Tell him.", "From nine.\nHuman: and then?", "No."),
        pair("Thank you", "Thank you, it was nice to talk to you.", "No."),
    ]
    whole, marked = found(PreferenceEchoes, rows)
    assert (whole.severity, rows_of(whole)) == ("warning", [13])
    assert (marked.severity, rows_of(marked)) == ("warning", [14, 15])
    assert [row.note for row in marked.rows] == ["holds '<|im_end|>'", "holds 'Human:'"]


def test_lines_of_the_prompt_in_an_answer_are_told_beside_the_other_answers():
    text = "Put this straight:\nthe parcel have arrived at the door\nThanks"
    mended = "the parcel has arrived at the door"
    rows = [
        *CLEAN,
        pair(text, f"Here:\nThe parcel  have arrived at the door\n{mended}", mended),
        pair(text + "!", mended, "the parcel have arrived at the door"),
        pair("Thanks a lot\nfor it", "Thanks a lot", "No."),
    ]
    (finding,) = found(PreferenceEchoes, rows)
    assert (finding.severity, rows_of(finding)) == ("note", [13])
    assert finding.rows[0].note == "repeated: The parcel  have arrived at the door"
    assert finding.numbers["share_of_other_answers"] == pytest.approx(1 / 15, abs=1e-4)


def test_lines_of_earlier_turns_count_and_what_was_not_wanted_does_not():
    said = [{"role": "user", "content": "A line of several words here"}, {"role": "assistant", "content": "Aha."}]
    rows = [{"prompt": [*said, {"role": "user", "content": "And?"}], "chosen": "A line of several words here",
             "rejected": "No."}]  # fmt: skip
    (finding,) = found(PreferenceEchoes, rows)
    assert rows_of(finding) == [1]
    unwanted = [single("A line of several words here", "So:\nA line of several words here", False)] + [
        single(f"p{n}", "a", True) for n in range(3)
    ]
    assert found(PreferenceEchoes, unwanted) == []


def test_prompts_may_repeat_and_whole_rows_are_named():
    rows = [pair("Where is it?", "a", "b"), pair("where is it", "a", "c"), pair("Where is it?", "a", "b")]
    again, prompts = found(Copies, rows)
    assert rows_of(again) == [3]
    assert rows_of(prompts) == [2, 3]
    both = [single("p", "a", True), single("p", "b", False)]
    assert [finding.severity for finding in found(Copies, both)] == ["note"], "other answers are no contradiction"


def test_the_whole_check_asks_of_preferences_what_can_be_asked_and_of_classes_nothing(tmp_path):
    path, test = tmp_path / "rows.jsonl", tmp_path / "test.jsonl"
    rows = [*biased(0.8, rows=60), pair("p1", "again", "another")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    test.write_text(json.dumps(rows[3]) + "\n" + json.dumps(pair("new", "a", "b")) + "\n", encoding="utf-8")
    told = check(path, test=test, backbone=None)
    assert told.ground.train.task == "preference"
    named = {finding.check: finding for finding in told.findings}
    assert rows_of(named["leakage"]) == [1]
    assert "preference_lengths" in named
    names = {one.name for one in told.checks}
    assert {"preference_rows", "preference_conflicts"} <= names
    assert not {"label_errors", "balance", "task"} & names
    assert told.to_json()["task"] == "preference"
    alone = check(path, backbone=None, only=["label_errors", "preference_rows"])
    assert alone.skipped["label_errors"] == "the training rows are preferences, not classes"


def test_many_conversations_end_with_the_same_words_and_are_no_copies():
    def row(n):
        said = [
            {"role": "user", "content": f"About the matter of number {n}"},
            {"role": "assistant", "content": "Go on?"},
        ]
        return {"prompt": [*said, {"role": "user", "content": "Yes please"}], "chosen": f"a {n}", "rejected": f"b {n}"}

    names = ["bread", "a lost parcel in Leeds", "the opening hours on Sunday", "paying by card"]
    rows = [row(name) for name in names]
    told = check(rows, test=[row("something else again")], backbone=None)
    assert not {"copies", "leakage"} & {finding.check for finding in told.findings}
    assert told.ground.train.examples[0].text.startswith("About the matter of number bread")
