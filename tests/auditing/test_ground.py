"""The ground: what was given, and a model's opinion of rows that it has not seen."""

import numpy as np

from fewtune.auditing import ground, lay, predictions
from fewtune.data.base import Dataset
from fewtune.testing.toys import toy_dataset


def test_the_ground_holds_what_was_given(tiny_encoder):
    toys = toy_dataset(4)
    laid = lay(toys, test=toys, about="words", encoder=tiny_encoder)
    assert [part for part, _ in laid.parts] == ["train", "test"]
    assert laid.vectors("train").shape == (12, tiny_encoder.width)
    assert not lay(Dataset(()), encoder=tiny_encoder).has("predictions")


def test_predictions_are_of_rows_not_seen_and_the_same_each_time(tiny_encoder):
    toys = toy_dataset(12)
    groups = list(range(len(toys)))
    first, second = (predictions(toys, tiny_encoder, groups, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.probs_NC, second.probs_NC)
    assert first.labels_N.tolist() == [toys.classes.index(label) for label in toys.labels]
    np.testing.assert_allclose(first.probs_NC.sum(1), 1.0)
    shuffled = predictions(toy_dataset(12, shuffled=True), tiny_encoder, groups, seed=3)
    right = (first.probs_NC.argmax(1) == first.labels_N).mean()
    assert right > (shuffled.probs_NC.argmax(1) == shuffled.labels_N).mean() + 0.2


def test_many_rows_are_answered_from_few(tiny_encoder, monkeypatch):
    toys = toy_dataset(20)
    monkeypatch.setattr(ground, "MOST_LEARNT", 12)
    seen = []
    at_most = ground._at_most
    monkeypatch.setattr(ground, "_at_most", lambda *args: seen.append(at_most(*args)) or seen[-1])
    found = predictions(toys, tiny_encoder, list(range(60)))
    assert found.probs_NC.shape == (60, 3)
    assert np.isfinite(found.probs_NC).all()
    labels = np.asarray(toys.labels)
    assert seen
    assert all(len(rows) == 12 and len(set(labels[rows])) == 3 for rows in seen)
