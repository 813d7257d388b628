"""Rows whose label is not believed by what has not seen it, worst first."""

import numpy as np
import pytest

from fewtune.audit.base import Ground, Predictions
from fewtune.audit.label_errors import (
    LabelErrors,
    beliefs,
    centre_probs,
    estimated,
    label_errors,
    ranking,
    suspects,
)
from fewtune.data.base import Dataset, Example

CLASSES = ("a", "b", "c")


def predictions(rows=90, seed=0):
    """Sure and right, row by row."""
    labels = np.arange(rows) % 3
    noise = np.random.default_rng(seed).dirichlet([1.0] * 3, size=rows)
    return labels, 0.85 * np.eye(3)[labels] + 0.15 * noise


def clouds(rows=90, seed=0, spread=0.3):
    """Unit vectors in three clouds, one a class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    vectors = np.eye(3, 16)[labels] + spread * rng.normal(size=(rows, 16)) / 4
    return labels, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_planted_errors_are_found_worst_first():
    labels, probs = predictions()
    given = labels.copy()
    planted = list(range(0, 90, 10))
    given[planted] = (given[planted] + 1) % 3
    found = label_errors(given, probs, CLASSES)
    assert {suspect.index for suspect in found} == set(planted)
    for suspect in found:
        assert suspect.given == CLASSES[given[suspect.index]]
        assert suspect.suggested == CLASSES[labels[suspect.index]]
        assert suspect.probability_given < suspect.probability_suggested
    shares = [suspect.probability_given for suspect in found]
    assert shares == sorted(shares)


def test_nothing_is_suspected_where_every_label_is_believed():
    labels, probs = predictions()
    assert label_errors(labels, probs, CLASSES) == []
    assert label_errors(labels, probs, CLASSES, features_NF=clouds()[1]) == []


def test_at_most_so_many():
    labels, probs = predictions()
    given = np.where(np.arange(90) % 4 == 0, (labels + 1) % 3, labels)
    assert len(label_errors(given, probs, CLASSES, most=5)) == 5
    assert len(label_errors(given, probs, CLASSES, most=None)) > 15


def test_a_class_nobody_has_is_no_trouble():
    labels, probs = predictions()
    kept = labels != 1
    given = labels[kept].copy()
    given[0] = 2
    found = label_errors(given, probs[kept], CLASSES, features_NF=clouds()[1][kept])
    assert [suspect.index for suspect in found] == [0]
    assert (found[0].given, found[0].suggested) == ("c", "a")


def test_one_class_has_no_errors():
    assert label_errors(np.zeros(5, dtype=np.int64), np.full((5, 3), 1 / 3), CLASSES) == []


def test_a_row_alone_in_its_class_cannot_be_judged():
    labels, probs = predictions(30)
    given = np.where(np.arange(30) == 0, 3, labels)
    probs = np.hstack([probs, np.full((30, 1), 1e-6)])
    assert label_errors(given, probs, (*CLASSES, "d")) == []
    twice = np.where(np.arange(30) < 2, 3, labels)
    assert {*ranking(twice, beliefs(twice, probs))[:2].tolist()} == {0, 1}
    copies = [0, 0, *range(2, 30)]
    assert {*ranking(twice, beliefs(twice, probs, groups_N=copies))[-2:].tolist()} == {0, 1}
    assert label_errors(twice, probs, (*CLASSES, "d"), groups_N=copies) == []


def test_beliefs_are_shares_and_the_ranking_names_every_row_once():
    labels, probs = predictions()
    believed = beliefs(labels, probs, clouds()[1])
    assert believed.sum(1) == pytest.approx(1)
    assert sorted(ranking(labels, believed).tolist()) == list(range(90))


def test_each_class_is_held_to_its_own_standard():
    """A class that is hard throughout does not fill the top of the list."""
    labels = np.array([0] * 10 + [1] * 10)
    probs = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    probs[0] = [0.45, 0.55]
    assert probs[np.arange(20), labels].argsort(kind="stable")[0] == 10
    assert ranking(labels, beliefs(labels, probs))[0] == 0


def test_centres_leave_the_row_itself_and_its_copies_out():
    labels, vectors = clouds(30)
    groups = [0, 0, *range(2, 30)]
    given = labels.copy()
    given[1] = given[0]
    probs = centre_probs(vectors, given, 3, groups)
    for row in (0, 5):
        others = [r for r in range(30) if groups[r] != groups[row]]
        centres = np.stack([vectors[[r for r in others if given[r] == c]].astype(float).sum(0) for c in range(3)])
        cosines = centres @ vectors[row] / np.linalg.norm(centres, axis=1)
        expected = np.exp(30 * cosines) / np.exp(30 * cosines).sum()
        assert probs[row] == pytest.approx(expected, rel=1e-4)


def test_centres_of_a_group_with_two_labels_leave_both_out():
    _, vectors = clouds(12)
    given = np.arange(12) % 3
    groups = [0, 0, 0, *range(3, 12)]
    probs = centre_probs(vectors, given, 3, groups)
    kept = [r for r in range(12) if groups[r] != 0]
    centres = np.stack([vectors[[r for r in kept if given[r] == c]].astype(float).sum(0) for c in range(3)])
    cosines = centres @ vectors[1] / np.linalg.norm(centres, axis=1)
    assert probs[1] == pytest.approx(np.exp(30 * cosines) / np.exp(30 * cosines).sum(), rel=1e-4)


def test_the_second_witness_finds_what_the_first_misses():
    """A class that lost two fifths of its labels to another: the model half believes them, the centres do not."""
    rng = np.random.default_rng(0)
    labels, vectors = clouds(150)
    given = labels.copy()
    lost = rng.permutation(np.flatnonzero(labels == 0))[:20]
    given[lost] = 1
    half = np.where((labels == 0)[:, None], [0.5, 0.48, 0.02], 0.9 * np.eye(3)[labels] + 0.1 / 3)
    probs = np.clip(half + 0.05 * rng.normal(size=half.shape), 0.01, None)
    probs /= probs.sum(1, keepdims=True)
    without = ranking(given, beliefs(given, probs))[:20]
    with_centres = ranking(given, beliefs(given, probs, vectors))[:20]
    assert np.isin(with_centres, lost).mean() > np.isin(without, lost).mean()
    assert np.isin(with_centres, lost).mean() >= 0.9


def test_the_estimate_counts_planted_errors():
    labels, probs = predictions(300)
    given = labels.copy()
    given[:30] = (given[:30] + 1) % 3
    assert estimated(given, beliefs(given, probs)) == pytest.approx(30, abs=5)


def ground(flipped=3):
    labels, vectors = clouds(30)
    _, probs = predictions(30)
    given = labels.copy()
    given[:flipped] = (given[:flipped] + 1) % 3
    examples = tuple(
        Example(f"text {row}", CLASSES[label], id=f"r{row + 1}", row=row + 1) for row, label in enumerate(given)
    )
    return Ground(
        Dataset(examples),
        embed=lambda texts: vectors[[int(text.split()[-1]) for text in texts]],
        predict=lambda: Predictions(given, probs, vectors),
    )


def test_the_finding_names_rows_suggestions_and_who_speaks_for_them():
    looked_at = ground()
    (finding,) = LabelErrors().run(looked_at)
    assert finding.severity == "warning"
    assert {row.row for row in finding.rows} == {1, 2, 3}
    assert finding.what.startswith("3 of 30 labels")
    assert "--review" in finding.do
    (first, *_) = finding.numbers["suspects"]
    assert CLASSES.index(first["given"]) == (CLASSES.index(first["suggested"]) + 1) % 3
    by_row = {example.row: example for example in looked_at.train}
    for told in finding.numbers["suspects"]:
        assert len(told["nearest_as_suggested"]) == 3
        assert {by_row[near["row"]].label for near in told["nearest_as_suggested"]} == {told["suggested"]}
        assert {by_row[near["row"]].label for near in told["nearest_as_given"]} == {told["given"]}
        assert told["row"] not in {near["row"] for near in told["nearest_as_given"]}
    assert [suspect.index + 1 for suspect in suspects(looked_at)] == [row.row for row in finding.rows]


def test_no_finding_where_labels_are_believed():
    assert list(LabelErrors().run(ground(0))) == []
