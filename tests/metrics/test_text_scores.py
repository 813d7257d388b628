from __future__ import annotations

import numpy as np
import pytest
from text_worlds import sentences, spoiled

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


def material(order=slice(None), copies=1, spoil=0.3):
    """The same 40 rows in any order, any number of times."""
    rng = np.random.default_rng(0)
    given = sentences(rng, 40)
    outputs = spoiled(rng, given, spoil)
    rows = list(np.arange(40)[order]) * copies
    tokens_N = rng.integers(3, 20, 40)
    nll_N = tokens_N * rng.gamma(2.0, 1.0, 40)
    answers = Answers.of(
        [outputs[row] for row in rows], [given[row] for row in rows], slots=[given[row].split()[:3] for row in rows]
    )
    return Measured(answers, Likelihoods.of(nll_N[rows], tokens_N[rows], texts=[given[row] for row in rows]))


@pytest.mark.parametrize("score", SCORES, ids=NAMES)
def test_the_order_of_rows_does_not_matter(score):
    assert score.build(material(slice(None, None, -1))).value() == pytest.approx(score.build(material()).value())


@pytest.mark.parametrize("score", SCORES, ids=NAMES)
def test_every_row_twice_is_the_same_score(score):
    assert score.build(material(copies=2)).value() == pytest.approx(score.build(material()).value())


@pytest.mark.parametrize("score", [score for score in SCORES if score.needs != "likelihoods"], ids=lambda s: s.name)
def test_more_mistakes_are_never_better(score):
    values = [score.build(material(spoil=rate)).value() for rate in (0.0, 0.2, 0.8)]
    assert values == sorted(values, reverse=score.higher_is_better)
    if score.higher_is_better:
        assert values[0] == pytest.approx(100.0 if score.unit == "points" else 1.0)


@pytest.mark.parametrize("score", [score for score in SCORES if score.needs == "references"], ids=lambda s: s.name)
def test_another_reference_never_lowers_a_row(score):
    outputs, given = ["one two three four", "five six"], ["one two four four", "six"]
    further = [[text, *outputs] for text in given]
    alone, more = (score.build(Measured(Answers.of(outputs, refs), None)).value() for refs in (given, further))
    assert more >= alone
