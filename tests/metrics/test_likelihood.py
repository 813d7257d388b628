from __future__ import annotations

import math

import numpy as np
import pytest

from fewtune.errors import UsageError
from fewtune.metrics.likelihood import Likelihoods, byte_counts
from fewtune.metrics.paired_corpus import compare_texts


def test_loss_perplexity_and_bits_by_hand():
    found = Likelihoods.of([2.0, 4.0], [2, 1], texts=["abcd", "éé"])
    assert found.loss().value() == pytest.approx(2.0)
    assert found.perplexity().value() == pytest.approx(math.e**2)
    assert found.bits_per_byte().value() == pytest.approx(6 / math.log(2) / 8)


def test_a_coin_toss_a_byte_is_one_bit():
    found = Likelihoods.of([10 * math.log(2)], [3], bytes_N=[10])
    assert found.bits_per_byte().value() == pytest.approx(1.0)


def test_bits_per_byte_do_not_depend_on_how_text_is_cut():
    coarse, fine = Likelihoods.of([6.0], [2], bytes_N=[12]), Likelihoods.of([6.0], [6], bytes_N=[12])
    assert coarse.bits_per_byte().value() == fine.bits_per_byte().value()
    assert coarse.loss().value() == 3 * fine.loss().value()


def test_long_rows_weigh_more():
    found = Likelihoods.of([1.0, 90.0], [1, 9], bytes_N=[1, 9])
    assert found.loss().value() == pytest.approx(9.1)


def test_bytes_are_utf8_also_of_broken_text():
    assert byte_counts(["a", "é", "好", "😀", "", "\ud800"]).tolist() == [1, 2, 3, 4, 0, 3]


def test_an_empty_completion_that_costs_its_end_token_is_fine():
    found = Likelihoods.of([1.0, 3.0], [1, 3], texts=["", "abc"])
    assert found.bits_per_byte().value() == pytest.approx(4 / math.log(2) / 3)


def test_a_hopeless_loss_is_a_huge_perplexity_that_can_still_be_compared():
    hopeless = Likelihoods.of([1e6, 2e6], [1, 1], bytes_N=[4, 4]).perplexity()
    assert 1e300 < hopeless.value() < math.inf
    assert compare_texts(hopeless, hopeless, draws=50, swaps=50).verdict == "cannot be told apart"


@pytest.mark.parametrize(
    ("nll", "tokens", "settings", "said"),
    [
        ([1.0], [1], {}, "either the texts or their bytes"),
        ([1.0], [1], {"texts": ["a"], "bytes_N": [1]}, "either the texts or their bytes"),
        ([1.0, 2.0], [1], {"bytes_N": [1]}, "2 costs, 1 token counts, 1 byte counts"),
        ([], [], {"bytes_N": []}, "0 costs"),
        ([1.0, np.nan], [1, 1], {"bytes_N": [1, 1]}, "row 2: a loss of nan"),
        ([-5.0], [1], {"bytes_N": [1]}, "row 1: a loss of -5"),
        ([0.0], [0], {"texts": [""]}, "No token was scored"),
    ],
)
def test_what_cannot_be_meant_is_said(nll, tokens, settings, said):
    with pytest.raises(UsageError, match=said):
        Likelihoods.of(nll, tokens, **settings)


def test_lower_is_better():
    found = Likelihoods.of([1.0], [1], bytes_N=[1])
    assert not any(score.higher_is_better for score in (found.loss(), found.perplexity(), found.bits_per_byte()))
    assert found.perplexity().bounds[0] == 1.0
