"""Classes that may be one."""

import numpy as np
import pytest
from audit_worlds import World

from fewtune.audit.base import Predictions
from fewtune.audit.class_pairs import ClassPairs, alike


def ground(names, kinds, rows=40, seed=0, sure=0.8):
    """A class a name; classes of one kind lie in one cloud, and a model tells kinds but not the names of one."""
    world, rng = World(seed=seed), np.random.default_rng(seed)
    data = [row for name, kind in zip(names, kinds, strict=True) for row in world.rows(rows, kind, name)]
    order = sorted(range(len(names)), key=lambda place: names[place])
    kind_of = np.array([kinds[place] for place in order])
    labels = np.array([sorted(names).index(label) for _, label in data])
    probs = rng.dirichlet(np.ones(len(names)), size=len(labels)) * (1 - sure)
    probs += sure * (kind_of[labels][:, None] == kind_of) * rng.dirichlet(np.full(len(names), 20.0), size=len(labels))
    return world.ground(data, predict=lambda: Predictions(labels, probs / probs.sum(1, keepdims=True)))


def test_two_names_for_one_class_are_named():
    looked_at = ground(("delay", "late", "refund", "crash"), (0, 0, 1, 2))
    (finding,) = ClassPairs().run(looked_at)
    assert finding.numbers["classes"] == ["delay", "late"]
    assert finding.severity == "warning"
    assert finding.numbers["auc_high"] < 0.75
    assert finding.numbers["neighbours_mixed"] == pytest.approx(1, abs=0.25)
    assert {row.label for row in finding.rows} <= {"delay", "late"}
    assert finding.rows


@pytest.mark.parametrize("seed", range(5))
def test_classes_that_differ_are_left_alone(seed):
    assert list(ClassPairs().run(ground(("delay", "refund", "crash"), (0, 1, 2), seed=seed))) == []


def test_where_no_class_can_be_told_one_finding_says_so():
    (finding,) = ClassPairs().run(ground(("a", "b", "c", "d"), (0, 0, 0, 0)))
    assert finding.what == "6 of 6 pairs of classes cannot be told apart by their texts."


def test_a_weak_model_alone_names_no_pair_whose_rows_lie_apart():
    """The model guesses between the two, but each lies among its own."""
    looked_at = ground(("delay", "late", "refund"), (0, 1, 2))
    guess = np.full_like(looked_at.predictions.probs_NC, 1 / 3) + np.random.default_rng(0).normal(
        scale=0.01, size=looked_at.predictions.probs_NC.shape
    )
    looked_at.__dict__["predictions"] = Predictions(looked_at.predictions.labels_N, guess)
    assert alike(looked_at) == []


def test_classes_of_few_rows_say_nothing():
    assert alike(ground(("delay", "late", "refund"), (0, 0, 1), rows=6)) == []
