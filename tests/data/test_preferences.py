import json

import pytest

from fewtune.data.base import Message
from fewtune.data.preferences import WANTED, are_pairs, read_preferences, rejected_of
from fewtune.errors import ColumnError, DataError, TaskError


def pair(number, **more):
    return {"prompt": f"Is shop {number} open?", "chosen": "Yes, until six.", "rejected": "Who knows.", **more}


def pairs(count=5):
    return [pair(number) for number in range(count)]


def single(number, label, **more):
    return {"prompt": f"Is shop {number} open?", "completion": f"Answer {number}.", "label": label, **more}


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_texts_are_pairs(tmp_path):
    found = read_preferences(lines(tmp_path / "prefer.jsonl", pairs()))
    first = found.examples[0]
    assert found.task == "preference"
    assert are_pairs(found)
    assert (first.prompt, first.completion, first.rejected) == ("Is shop 0 open?", "Yes, until six.", "Who knows.")
    assert first.messages == ()
    assert "5 pairs" in found.notes[-1]
    assert rejected_of(first).completion == "Who knows."


def test_a_csv_reads_the_same(tmp_path):
    path = tmp_path / "prefer.csv"
    rows = "".join(f'"Is shop {n} open?","Yes, until six.",Who knows.\n' for n in range(5))
    path.write_text("prompt,chosen,rejected\n" + rows)
    assert read_preferences(path).fingerprint == read_preferences(pairs()).fingerprint


def test_what_was_rejected_is_part_of_the_fingerprint():
    other = [*pairs(4), pair(4, rejected="No idea.")]
    assert read_preferences(other).fingerprint != read_preferences(pairs()).fingerprint


@pytest.mark.parametrize("shape", ["prompt apart", "all in both", "prompt text beside whole conversations"])
def test_lists_of_messages(shape):
    def said(text, role="user"):
        return {"role": role, "content": text}

    before = [said("Be brief.", "system"), said("Is it open?"), said("Which one?", "assistant")]
    rows = []
    for number in range(4):
        asked, good, bad = said(f"Shop {number}."), said("Yes.", "assistant"), said("Why?", "assistant")
        if shape == "prompt apart":
            rows.append({"prompt": [*before, asked], "chosen": [good], "rejected": [bad]})
        elif shape == "all in both":
            rows.append({"chosen": [*before, asked, good], "rejected": [*before, asked, bad]})
        else:
            whole = {"chosen": [*before, asked, good], "rejected": [*before, asked, bad]}
            rows.append({"prompt": f"Shop {number}.", **whole})
    first = read_preferences(rows).examples[0]
    assert (first.prompt, first.completion, first.rejected) == ("Shop 0.", "Yes.", "Why?")
    assert [turn.role for turn in first.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert rejected_of(first).messages[-1] == Message("assistant", "Why?")


def test_a_question_alone_in_messages_is_a_prompt_and_no_conversation():
    rows = [
        {
            "prompt": [{"role": "user", "content": f"Is shop {n} open?"}],
            "chosen": [{"role": "assistant", "content": "Yes, until six."}],
            "rejected": [{"role": "assistant", "content": "Who knows."}],
        }
        for n in range(5)
    ]
    assert read_preferences(rows).fingerprint == read_preferences(pairs()).fingerprint


def test_transcripts_without_a_prompt():
    shared = "\n\nHuman: Hello\n\nAssistant: Hello. What is it?\n\nHuman: Is shop {} open?\n\nAssistant: "
    rows = [{"chosen": shared.format(n) + "Yes.", "rejected": shared.format(n) + "Go away."} for n in range(4)]
    first = read_preferences(rows).examples[0]
    assert (first.prompt, first.completion, first.rejected) == ("Is shop 0 open?", "Yes.", "Go away.")
    assert [turn.role for turn in first.messages] == ["user", "assistant", "user", "assistant"]


def test_texts_that_begin_alike_have_their_beginning_as_prompt():
    rows = [{"chosen": f"Shop {n} is open until six.", "rejected": f"Shop {n} is old and grey."} for n in range(4)]
    first = read_preferences(rows).examples[0]
    assert (first.prompt, first.completion, first.rejected) == ("Shop 0 is", "open until six.", "old and grey.")


@pytest.mark.parametrize(("yes", "no"), [(True, False), ("true", "false"), (1, 0), ("1", "0"), ("Yes", "No")])
def test_single_answers_with_a_label(yes, no):
    found = read_preferences([single(n, yes if n % 2 else no) for n in range(6)])
    assert not are_pairs(found)
    assert [example.label for example in found].count(WANTED) == 3
    assert found.examples[1].label == WANTED


def test_marks_of_the_page_are_pairs_and_ties_are_none():
    rows = [
        {**pair(n), "mark": "better" if n % 2 else "worse", "first": "winner", "second": "zero_shot", "blind": True}
        for n in range(6)
    ]
    tie = {"prompt": "Is shop 9 open?", "mark": "tie", "first": "winner", "second": "zero_shot"}
    found = read_preferences([*rows, tie])
    assert len(found) == 6
    assert found.examples[0].completion == "Yes, until six."
    assert any("1 marks make no pair" in note for note in found.notes)


FAULTS = {
    "chosen is empty": (pair(9, chosen="  "), "chosen answer is empty"),
    "rejected is empty": (pair(9, rejected=None), "rejected answer is empty"),
    "both are the same": (pair(9, rejected="Yes,  until six. "), "are the same"),
    "the prompt is empty": (pair(9, prompt=""), "prompt is empty"),
    "the other way round": (pair(2, chosen="Who knows.", rejected="Yes, until six."), "row 3 rejects"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_file_and_row(tmp_path, name):
    bad, said = FAULTS[name]
    path = lines(tmp_path / "prefer.jsonl", [*pairs(), bad])
    with pytest.raises(DataError, match=said) as caught:
        read_preferences(path)
    assert (caught.value.file, caught.value.row) == (str(path), 6)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (single(9, "maybe"), "label is 'maybe'"),
        (single(9, None), "no label"),
        (single(9, True, completion=""), "completion answer is empty"),
        (single(2, True), "does not want"),
        (single(1, False), "wants this answer"),
    ],
)
def test_a_fault_of_a_single_answer_is_named(bad, said):
    with pytest.raises(DataError, match=said) as caught:
        read_preferences([*(single(n, n % 2 == 1) for n in range(5)), bad])
    assert caught.value.row == 6


@pytest.mark.parametrize(
    ("lacks", "said"),
    [("chosen", "'chosen'"), ("rejected", "'rejected'"), ("both", "'chosen'")],
)
def test_a_missing_column_is_named_with_those_that_are_there(lacks, said):
    rows = [
        {key: text for key, text in row.items() if lacks not in (key, "both") or key == "prompt"} for row in pairs()
    ]
    with pytest.raises(ColumnError, match=said) as caught:
        read_preferences(rows)
    assert "'prompt'" in caught.value.remedy


def test_texts_without_a_prompt_that_share_no_beginning():
    with pytest.raises(ColumnError, match="'prompt'"):
        read_preferences([{"chosen": f"Yes {n}", "rejected": f"No {n}"} for n in range(4)])


def test_conversations_that_part_before_their_last_answer():
    def turns(*texts):
        return [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 2, texts, strict=True)]

    row = {"chosen": turns("Hi", "Hello", "Open?", "Yes"), "rejected": turns("Hi", "Well", "Open?", "No")}
    with pytest.raises(DataError, match="more than their last answer") as caught:
        read_preferences([row] * 4)
    assert caught.value.row == 1


def test_answers_that_are_all_wanted_are_no_task():
    with pytest.raises(TaskError, match="All 5 answers are wanted"):
        read_preferences([single(n, True) for n in range(5)])


def test_too_few_rows():
    with pytest.raises(TaskError, match="too few"):
        read_preferences(pairs(2))


def test_the_same_pair_twice_is_kept_together_and_said():
    found = read_preferences([*pairs(), pair(0)])
    assert any("1 row has the prompt of another" in note for note in found.notes)


def test_broken_unicode_is_mended():
    found = read_preferences([*pairs(), pair(9, chosen="Yes\x00, \ud800 six.")])
    assert found.examples[-1].completion == "Yes, \ufffd six."
