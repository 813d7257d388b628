"""Costs at the temperature that suits a writer: found on other splits' rows, of use to the overconfident alone."""

import numpy as np
import pytest

from fewtune.methods.base import TEMPERATURES, Written
from fewtune.metrics.tempered import costs_by_temperature, tempered_scores

HELD_OUT = [np.array([0, 1, 2]), np.array([3, 4, 5])]


def written(nll, tempered=None):
    sizes = np.full(len(nll), 8)
    return Written(np.asarray(nll, dtype=float), sizes, sizes, None, tempered)


def bits(nats):
    return -np.asarray(nats) / (8 * np.log(2))


def test_untempered_costs_are_scored_as_they_are():
    found = tempered_scores([written([1.0, 2.0, 3.0]), written([4.0, 5.0, 6.0])], HELD_OUT)
    np.testing.assert_allclose(np.concatenate(found), bits([1, 2, 3, 4, 5, 6]))


def test_each_split_is_scored_at_what_is_best_for_the_others():
    """The first split's rows are cheapest at the first temperature, the second's at the last."""
    first = np.array([[1.0, 5.0, 9.0]] * 3)
    second = np.array([[9.0, 5.0, 1.0]] * 3)
    found = tempered_scores([written([7.0] * 3, first), written([7.0] * 3, second)], HELD_OUT)
    np.testing.assert_allclose(found[0], bits([9.0] * 3), err_msg="by the second split's choice, the last")
    np.testing.assert_allclose(found[1], bits([9.0] * 3), err_msg="by the first split's choice, the first")


def test_rows_of_a_split_have_no_say_in_it_by_way_of_other_repeats():
    """The same rows held out twice: nothing else is left to choose by, so they are scored as they are."""
    tempered = np.array([[1.0, 1.0, 1.0]] * 3)
    found = tempered_scores([written([7.0] * 3, tempered)] * 2, [HELD_OUT[0]] * 2)
    np.testing.assert_allclose(np.concatenate(found), bits([7.0] * 6))


def test_a_lone_split_is_scored_as_it_is():
    found = tempered_scores([written([7.0] * 3, np.ones((3, 3)))], HELD_OUT[:1])
    np.testing.assert_allclose(found[0], bits([7.0] * 3))


def test_some_of_the_rows_keep_their_costs_at_every_temperature():
    tempered = np.arange(9.0).reshape(3, 3)
    part = written([1.0, 2.0, 3.0], tempered).subset(np.array([2, 0]))
    np.testing.assert_array_equal(costs_by_temperature(part), [[3, 6, 7, 8], [1, 0, 1, 2]])
    assert part.tempered.shape[1] == len(TEMPERATURES)


def test_the_overconfident_gain_and_the_calibrated_do_not():
    """Tokens drawn from known probabilities; one writer states them, the other states them squared and normalised."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4_000, 10))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    drawn = np.array([rng.choice(10, p=p) for p in probs])

    def scores(stated):
        def nats(temperature):
            scaled = stated / temperature
            return np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(drawn)), drawn]

        tempered = np.stack([nats(temperature) for temperature in TEMPERATURES], axis=1)
        rows = np.arange(len(drawn))
        half = len(rows) // 2
        parts = [written(nats(1.0)[part], tempered[part]) for part in (rows[:half], rows[half:])]
        found = tempered_scores(parts, [rows[:half], rows[half:]])
        return float(np.concatenate(found).mean()), float(bits(nats(1.0).mean()))

    calibrated, plain = scores(logits)
    assert calibrated == pytest.approx(plain, rel=2e-3)
    sure, plain_sure = scores(1.5 * logits)
    assert plain_sure < 1.02 * calibrated
    assert sure == pytest.approx(calibrated, rel=2e-3)
