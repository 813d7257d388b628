"""The nearest rows, held against sorting all of them."""

import numpy as np
import pytest
from audit_worlds import World

from fewtune.audit import neighbours
from fewtune.audit.neighbours import agreeing, nearest


def unit(rows, seed):
    vectors = np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("chunk", [10, 1000])
def test_nearest_is_what_sorting_gives(chunk, monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK", chunk)
    asked, among = unit(7, 0), unit(30, 1)
    places, cosines = nearest(asked, among, 4)
    assert (places == np.argsort(-(asked @ among.T), axis=1)[:, :4]).all()
    assert cosines == pytest.approx(-np.sort(-(asked @ among.T), axis=1)[:, :4], abs=1e-6)


def test_no_row_is_its_own_neighbour():
    rows = unit(12, 0)
    places, _ = nearest(rows, rows, 50, itself_Q=np.arange(12))
    assert places.shape == (12, 11)
    assert all(row not in places[row] for row in range(12))
    assert nearest(rows[:1], rows[:1], 3, itself_Q=np.zeros(1, dtype=np.int64))[0].shape == (1, 0)


def test_agreeing_rows_have_the_label_and_are_no_copies():
    world = World()
    rows = [*world.rows(6, 0, "a"), *world.rows(6, 1, "b")]
    rows.append((rows[0][0], "a"))
    ground = world.ground(rows)
    found = agreeing(ground, 0, "a", 10)
    assert {near.example.row for near in found} == {2, 3, 4, 5, 6}
    assert [near.similarity for near in found] == sorted((near.similarity for near in found), reverse=True)
    assert agreeing(ground, 0, "c") == agreeing(ground, 0, None) == ()
