"""Rows unlike all others."""

import numpy as np
from audit_worlds import World

from fewtune.audit import outliers
from fewtune.audit.outliers import Outliers, deviations, distances


def test_a_stray_row_is_found_and_no_other():
    world = World()
    rows = [*world.rows(60, 0, "a"), *world.rows(60, 1, "b"), *world.rows(1, 9, "a")]
    (finding,) = Outliers().run(world.ground(rows))
    assert [row.row for row in finding.rows] == [121]
    assert finding.severity == "note"
    assert finding.rows[0].score > finding.numbers["median_distance"]


def test_hardly_a_row_strays_in_even_clouds():
    strays = 0
    for seed in range(10):
        world = World(seed=seed)
        ground = world.ground([*world.rows(100, 0, "a"), *world.rows(40, 1, "b")])
        strays += sum(len(finding.rows) for finding in Outliers().run(ground))
    assert strays <= 5  # of 1,400


def test_each_part_is_looked_at_by_itself():
    world = World()
    train, pool = world.rows(60, 0, "a"), [*world.rows(60, 1), *world.rows(1, 5)]
    (finding,) = Outliers().run(world.ground(train, unlabelled=pool))
    assert {(row.part, row.row) for row in finding.rows} == {("unlabelled", 61)}


def test_few_rows_have_no_outliers():
    world = World()
    assert list(Outliers().run(world.ground([*world.rows(20, 0, "a"), *world.rows(1, 9, "a")]))) == []


def test_a_sample_gives_the_same_answer(monkeypatch):
    world = World()
    ground = world.ground([*world.rows(200, 0, "a"), *world.rows(1, 9, "a")])
    monkeypatch.setattr(outliers, "AGAINST", 80)
    far, sampled = distances(ground, "train")
    assert sampled == 80
    assert far.argmax() == 200
    assert (far == distances(ground, "train")[0]).all()


def test_equal_values_have_no_deviation():
    assert deviations(np.ones(9), np.ones(9)).tolist() == [0.0] * 9
