from __future__ import annotations

import numpy as np
import pytest

from fewtune.metrics.base import OutOfFold, cluster_index, row_means


def test_cluster_index_numbers_groups_in_order_and_lets_none_stand_alone():
    assert cluster_index(["b", None, "a", "b", None], 5).tolist() == [0, 1, 2, 0, 3]
    assert cluster_index(None, 3).tolist() == [0, 1, 2]


def test_from_folds_holds_each_row_out_once_a_repeat():
    folds_PN = [[0, 1, 0, 1], [1, 1, 0, 0]]
    probs_PNC = np.tile([0.3, 0.7], (2, 4, 1))
    oof = OutOfFold.from_folds([1, 0, 1, 1], folds_PN, probs_PNC)
    assert [rows.tolist() for rows in oof.held_out] == [[0, 2], [1, 3], [2, 3], [0, 1]]
    assert [c.tolist() for c in oof.correct] == [[1, 1], [0, 1], [1, 1], [1, 0]]
    np.testing.assert_allclose(oof.mean_probs_NC, probs_PNC[0])


def test_row_means_average_the_splits_and_leave_unseen_rows_nan():
    means = row_means([np.array([1.0, 0.0]), np.array([0.0])], [np.array([0, 2]), np.array([0])], 3)
    assert means[0] == 0.5
    assert np.isnan(means[1])
    assert means[2] == 0.0


def test_a_split_without_predictions_is_refused():
    with pytest.raises(AssertionError, match="one array of probabilities"):
        OutOfFold(np.array([0, 1]), (np.array([0, 1]),), ())
