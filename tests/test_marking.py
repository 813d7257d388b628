"""Marks saved by the page: read, tested pair by pair, kept as preference rows."""

import json

import pytest

from fewtune.errors import DataError
from fewtune.marking import marks


def mark(prompt, said, *, second="few_shot", blind=True):
    answers = {} if said == "tie" else {"chosen": f"{prompt} good", "rejected": f"{prompt} bad"}
    return {"prompt": prompt, **answers, "mark": said, "first": "winner", "second": second, "row": 1, "blind": blind}


@pytest.fixture
def put(tmp_path):
    def written(rows):
        path = tmp_path / "marks.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return written


def test_ten_of_ten_tell_and_ties_are_left_out(put):
    found = marks(put([*(mark(f"p{n}", "better") for n in range(10)), mark("q", "tie")]))
    (one,) = found.judged
    assert (one.test.better, one.test.worse, one.test.ties) == (10, 0, 1)
    assert one.test.p == pytest.approx(2 / 2**10)
    assert one.test.verdict == "better"
    assert "The tuned model was marked better 10 times, asking with examples 0 times" in one.sentences[0]
    assert one.enough is None
    assert len(found.preferences) == 10
    assert found.preferences[0] == {"prompt": "p0", "chosen": "p0 good", "rejected": "p0 bad"}


def test_several_marks_of_one_prompt_are_one_vote(put):
    (one,) = marks(put([mark("p", "better")] * 9 + [mark("q", "worse")])).judged
    assert (one.rows, one.test.better, one.test.worse) == (10, 1, 1)


def test_each_pair_has_its_own_test_and_open_marks_are_said(put):
    rows = [mark("p", "better", blind=False), mark("q", "better"), mark("p", "worse", second="zero_shot")]
    first, second = marks(put(rows)).judged
    assert (first.second, first.blind, second.second) == ("few_shot", 1, "zero_shot")
    assert any("1 of 2 marks were made with the names in sight" in said for said in first.sentences)
    assert first.enough is not None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**mark("p", "better"), "mark": "best"}, "row 2: The mark is 'best'"),
        ({**mark("p", "better"), "chosen": "same", "rejected": "same"}, "both are the same"),
    ],
)
def test_bad_marks_are_named_by_row(put, row, said):
    with pytest.raises(DataError, match=said):
        marks(put([mark("p", "worse"), row]))


def test_other_rows_are_no_marks(put):
    with pytest.raises(DataError, match="no column 'mark'"):
        marks(put([{"prompt": "p", "completion": "c"}]))
