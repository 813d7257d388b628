from __future__ import annotations

import json

import pandas as pd
import pytest

from fewtune.errors import ColumnError, DataError, UsageError
from fewtune.scoring import Columns, score, score_to_file

ROWS = [
    {"prompt": "inform(name=joe;food=thai)", "reference": "joe serves thai food", "answer": "joe serves thai food"},
    {"prompt": "inform(name=ann;food=french)", "reference": "ann is a french place", "answer": "ann serves food"},
    {"prompt": "inform(name=joe;food=thai)", "reference": "you get thai food at joe", "answer": "joe serves thai food"},
    {"prompt": "goodbye()", "reference": "goodbye", "answer": "goodbye"},
]


def test_columns_are_found_and_said():
    found = score(ROWS)
    assert found.scores.intervals["exact_match"].mean == 0.5
    assert "Columns: answers in 'answer', references in 'reference', prompts in 'prompt'." in found.notes
    assert any("1 of 4 rows repeats the prompt" in note for note in found.notes)
    assert found.scores.slot_errors["slots"] == 6


def test_each_prompt_once_is_held_against_all_its_references():
    found = score(ROWS, each_prompt_once=True)
    assert found.scores.rows == 3
    assert found.scores.intervals["exact_match"].mean == pytest.approx(2 / 3)
    assert not any("repeat" in note for note in found.notes)


def test_columns_can_be_named_and_an_answer_may_be_a_completion():
    rows = [{"q": row["prompt"], "completion": row["reference"], "mine": row["answer"]} for row in ROWS]
    found = score(rows, columns=Columns(answer="mine", prompt="q"))
    assert found.scores.intervals["exact_match"].mean == 0.5
    both = [{"completion": row["reference"], "Output": row["answer"]} for row in ROWS]
    assert score(both).scores.intervals["exact_match"].mean == 0.5


def test_references_may_be_lists_and_slots_objects(tmp_path):
    rows = [
        {"answer": "a b", "references": ["x", "a b"], "slots": {"x": ["a b", "b a"]}},
        {"answer": "c", "references": ["d"], "slots": {"x": "d"}},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for source in (rows, path, str(path), pd.DataFrame(rows)):
        found = score(source)
        assert found.scores.intervals["exact_match"].mean == 0.5
        assert found.scores.intervals["slot_error"].mean == 0.5
        assert "nrefs:var" in found.scores.signatures["bleu"]


def test_groups_are_taken_when_named_only():
    rows = [{**row, "shop": "s"} for row in ROWS]
    # Without a group, rows of one prompt go together: clusters of 2, 1 and 1.
    unnamed = score(rows, scores=["exact_match"]).scores.intervals["exact_match"]
    assert unnamed.method.endswith("2.7 effective rows")
    named = score(rows, scores=["exact_match"], columns=Columns(group="shop"))
    assert named.scores.intervals["exact_match"].method.endswith("1.0 effective rows")


def test_two_systems_on_the_same_rows():
    better = [
        {"prompt": str(row), "reference": "one two three four five", "answer": "one two three four five"}
        for row in range(20)
    ]
    worse = [{"prompt": str(row), "answer": "one three"} for row in range(20)]
    found = score(better, against=worse, own=[lambda outputs, references: [len(output) for output in outputs]])
    assert {comparison.verdict for comparison in found.comparisons.values()} == {"better"}
    assert found.comparisons["bleu"].difference > 50
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert set(told) == {"source", "notes", "scores", "against", "comparisons"}
    assert score(worse_with_references(worse), against=better).comparisons["chrf"].verdict == "worse"


def worse_with_references(rows):
    return [{**row, "reference": "one two three four five"} for row in rows]


def test_each_prompt_once_holds_for_both_systems():
    found = score(ROWS, against=[{**row, "answer": "no"} for row in ROWS], each_prompt_once=True)
    assert found.scores.rows == found.other.rows == 3


@pytest.mark.parametrize(
    ("rows", "settings", "error", "said"),
    [
        ([{"prompt": "a"}], {}, ColumnError, "No column holds answers.*--answer"),
        ([{"answer": "a"}], {}, ColumnError, "No column holds references.*--reference"),
        ([{"answer": "a", "reference": "b"}], {"columns": Columns(answer="x")}, ColumnError, "no column 'x'"),
        ([{"answer": "a", "reference": None}, {"answer": "a", "reference": "b"}], {}, DataError, "row 1: There is no"),
        ([{"answer": "a", "reference": []}], {}, DataError, "row 1: There is no reference"),
        ([{"answer": "a", "reference": "b"}], {"each_prompt_once": True}, UsageError, "no column of prompts"),
        ([{"answer": "a", "reference": "b", "slots": "?!"}], {}, DataError, "row 1: '\\?!' cannot be read as slots"),
        (ROWS, {"against": ROWS[:2]}, DataError, "There are 2 rows, and 4"),
        (ROWS, {"against": [*ROWS[1:], ROWS[0]]}, DataError, "row 1: The prompt is another"),
        (ROWS, {"against": [{"text": "a"}] * 4}, ColumnError, "No column holds answers"),
    ],
)
def test_what_cannot_be_scored_is_said(rows, settings, error, said):
    with pytest.raises(error, match=said):
        score(rows, **settings)


def test_an_empty_answer_is_an_answer():
    found = score([{"answer": None, "reference": "b"}, {"answer": "b", "reference": "b"}])
    assert found.scores.intervals["exact_match"].mean == 0.5
    assert "1 of 2 outputs are empty." in found.scores.notes


def test_scores_are_written_as_json(tmp_path):
    path = tmp_path / "scores.json"
    score_to_file(score(ROWS, scores=["bleu"]), path)
    assert set(json.loads(path.read_text(encoding="utf-8"))["scores"]["bleu"]) == {"mean", "low", "high"}
