from __future__ import annotations

import numpy as np
import pytest

from fewtune.errors import DataError, UsageError
from fewtune.metrics.answers import Answers, by_prompt, slots_in_prompts


def test_one_reference_or_several():
    found = Answers.of(["a", "b"], ["x", ["y", "z"]])
    assert found.references == (("x",), ("y", "z"))
    assert found.rows == 2


def test_prompts_that_repeat_are_asked_once_with_all_completions():
    found = by_prompt(["hi", "bye()", "hi", "hi"], ["a", "b", "c", "a"])
    assert found.prompts == ("hi", "bye()")
    assert found.references == (("a", "c"), ("b",))
    assert found.rows == (0, 1)
    assert found.times == (3, 1)
    assert found.taken(["g", "h", "g", "g"]) == ["g", "h"]


def test_rows_with_several_completions_are_joined():
    assert by_prompt(["hi", "hi"], [["a", "b"], "c"]).references == (("a", "b", "c"),)


def test_slots_come_from_prompts_when_all_are_representations():
    found = Answers.of(["a", "b"], ["x", "y"], prompts=["inform(name=joe)", "goodbye()"])
    assert [len(slots) for slots in found.slots] == [1, 0]
    assert Answers.of(["a", "b"], ["x", "y"], prompts=["inform(name=joe)", "hello there"]).slots is None
    assert slots_in_prompts([]) == []


def test_a_column_of_slots_comes_before_the_prompts():
    found = Answers.of(["a"], ["x"], prompts=["inform(name=joe)"], slots=[{"food": "thai"}])
    assert found.slots[0][0].name == "food"


def test_rouge_is_counted_once():
    found = Answers.of(["a"], ["a"])
    assert found.rouge is found.rouge


@pytest.mark.parametrize(
    ("outputs", "references", "settings", "said"),
    [
        ("a", ["a"], {}, "single text"),
        (["a"], "a", {}, "single text"),
        (["a", "b"], ["a"], {}, "2 outputs and 1 references"),
        (["a"], ["a"], {"prompts": []}, "1 outputs and 0 prompts"),
        (["a"], ["a"], {"groups": ["g", "h"]}, "1 outputs and 2 groups"),
        ([], [], {}, "no row to score"),
        (["a", None], ["a", "b"], {}, "row 2: the output is missing"),
        (["a", 3], ["a", "b"], {}, "row 2: the output is of type int"),
        (["a"], [[]], {}, "row 1: there is no reference"),
        (["a", "b"], [["a"], ["b", None]], {}, "row 2: a reference is missing"),
    ],
)
def test_what_cannot_be_scored_is_said_with_its_row(outputs, references, settings, said):
    with pytest.raises(UsageError, match=said):
        Answers.of(outputs, references, **settings)


def test_a_bad_cell_of_slots_is_named():
    with pytest.raises(DataError, match="row 2"):
        Answers.of(["a", "b"], ["a", "b"], slots=[None, 7])


def test_numpy_texts_are_texts():
    assert Answers.of(np.array(["a", "b"]), np.array(["a", "b"])).rows == 2
