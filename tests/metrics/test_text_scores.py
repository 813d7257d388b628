from __future__ import annotations

import pytest

from fewtune.errors import UsageError
from fewtune.metrics.answers import Answers
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.text_scores import MISSING, NAMES, SCORES, Measured, chosen

FULL = Measured(
    Answers.of(
        ["joe serves thai", "bye"], ["joe serves thai food", "goodbye"], prompts=["inform(name=joe;food=thai)", "bye()"]
    ),
    Likelihoods.of([3.0, 1.0], [4, 1], texts=["joe serves thai food", "goodbye"]),
)


@pytest.mark.parametrize("score", SCORES, ids=NAMES)
def test_each_counts_what_it_is_called(score):
    found = score.build(FULL)
    assert (found.name, found.higher_is_better) == (score.name, score.higher_is_better)
    assert found.rows == 2
    low, high = found.bounds
    assert low <= found.value() <= high
    assert (high == 100.0) == (score.unit == "points")
    assert (score.needs == "likelihoods") == (not found.signature)


def test_names_are_unique_and_every_need_has_its_words():
    assert len(set(NAMES)) == len(NAMES)
    assert {score.needs for score in SCORES} == set(MISSING)


@pytest.mark.parametrize(
    ("measured", "needs"),
    [
        (FULL, {"references", "slots", "likelihoods"}),
        (Measured(Answers.of(["a"], ["a"]), None), {"references"}),
        (Measured(None, FULL.likelihoods), {"likelihoods"}),
        (Measured(None, None), set()),
    ],
)
def test_what_can_be_had(measured, needs):
    assert {need for need in MISSING if measured.has(need)} == needs


def test_chosen_keeps_the_order_of_the_registry():
    assert [score.name for score in chosen(["token_f1", "bleu"])] == ["bleu", "token_f1"]
    assert len(chosen(None)) == len(SCORES)


def test_a_name_that_is_none_lists_those_there_are():
    with pytest.raises(UsageError, match=r"There is no score 'meteor'. There are loss, .*Your own"):
        chosen(["meteor"])
