import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fewtune.methods.base import Written
from fewtune.metrics.base import OutOfFold
from fewtune.metrics.preference import found_better, margins, moved_right, placements


def costs(nll, tokens=None):
    nll = np.asarray(nll, dtype=np.float64)
    tokens = np.full(len(nll), 2) if tokens is None else np.asarray(tokens)
    return Written(nll, tokens, 4 * tokens)


def test_the_better_answer_is_the_one_that_costs_less_a_token():
    chosen, rejected = costs([4.0, 4.0, 4.0], [4, 2, 2]), costs([3.0, 3.0, 4.0], [2, 2, 2])
    assert found_better(chosen, rejected).tolist() == [1.0, 0.0, 0.5]


def test_a_longer_answer_is_not_worse_for_its_length():
    assert found_better(costs([10.0], [10]), costs([2.0], [1])).tolist() == [1.0]


def test_single_answers_are_scored_by_the_area_under_the_curve():
    rng = np.random.default_rng(0)
    wanted, nll = rng.random(40) < 0.4, rng.random(40)
    found = placements(costs(nll), wanted)
    area = roc_auc_score(wanted, -nll)
    assert found[wanted].mean() == pytest.approx(area)
    assert found[~wanted].mean() == pytest.approx(area)


def test_answers_of_one_kind_tell_nothing():
    assert placements(costs([1.0, 2.0]), np.array([True, True])).tolist() == [0.5, 0.5]


def test_margins_are_summed_and_held_against_the_first_stage():
    before, after = margins(costs([5.0]), costs([4.0])), margins(costs([4.5]), costs([6.0]))
    assert (before.tolist(), after.tolist()) == ([-1.0], [1.5])
    assert moved_right(np.array([1.0, -1.0, 0.0]), np.zeros(3)).tolist() == [1.0, 0.0, 0.5]


def test_candidates_are_compared_by_which_answer_they_find_better():
    rows = (np.array([0, 2]), np.array([1, 3]))
    empty = (np.zeros((2, 0)),) * 2
    written, rejected = (costs([1.0, 2.0]), costs([1.0, 2.0])), (costs([2.0, 1.0]), costs([2.0, 1.0]))
    pairs = OutOfFold(np.zeros(4, dtype=np.int64), rows, empty, None, written, rejected)
    assert [scores.tolist() for scores in pairs.row_scores] == [[1.0, 0.0], [1.0, 0.0]]
    wanted = np.array([True, False, False, True])
    single = OutOfFold(np.zeros(4, dtype=np.int64), rows, empty, None, written, None, wanted)
    assert [scores.tolist() for scores in single.row_scores] == [[1.0, 1.0], [0.0, 0.0]]
    assert pairs.prefers
    assert single.prefers
    assert not OutOfFold(np.zeros(4, dtype=np.int64), rows, empty, None, written).prefers
