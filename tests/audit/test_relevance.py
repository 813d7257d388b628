"""Rows off the task."""

import pytest
from audit_worlds import World

from fewtune.audit import relevance
from fewtune.audit.relevance import ABOUT, NAMES, ROWS, Relevance, deviations


def rows(world, size=60):
    return [*world.rows(size, 0, "a"), *world.rows(size, 1, "b")]


def test_rows_of_other_files_are_held_against_the_labelled_ones():
    world = World()
    pool = [*world.rows(40, 0), *world.rows(40, 1), *world.rows(6, 9)]
    (finding,) = Relevance().run(world.ground(rows(world), unlabelled=pool))
    assert sorted(row.row for row in finding.rows) == list(range(81, 87))
    assert finding.severity == "note"
    assert ROWS in finding.rows[0].note
    scores = [row.score for row in finding.rows]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("seed", range(6))
def test_rows_of_one_kind_are_on_the_task(seed):
    world = World(seed=seed)
    spoken = (world.name("ay", 0), world.name("bee", 1))
    ground = world.ground(rows(world), unlabelled=[*world.rows(60, 0), *world.rows(60, 1)], spoken=spoken)
    assert sum(len(finding.rows) for finding in Relevance().run(ground)) <= 2


def test_training_rows_are_held_against_the_class_names():
    world = World(spread=0.3)
    spoken = (world.name("ay", 0), world.name("bee", 1))
    ground = world.ground([*rows(world), *world.rows(3, 9, "a")], spoken=spoken)
    (finding,) = Relevance().run(ground)
    assert {row.row for row in finding.rows} == {121, 122, 123}
    assert NAMES in finding.reason


def test_a_description_is_a_witness():
    world = World(spread=0.3)
    about = world.name("matters of the first kind", 0)
    ground = world.ground([*world.rows(80, 0, "a"), *world.rows(2, 9, "b")], about=about)
    (finding,) = Relevance().run(ground)
    assert {row.row for row in finding.rows} == {81, 82}
    assert ABOUT in finding.reason


def test_names_that_are_codes_or_point_elsewhere_are_no_witness():
    world = World()
    assert deviations(world.ground(rows(world)), "train") == {}
    spoken = (world.name("bee", 1), world.name("ay", 0))
    assert deviations(world.ground(rows(world), spoken=spoken), "train") == {}


def test_too_few_training_rows_say_nothing():
    world = World()
    assert list(Relevance().run(world.ground(rows(world, 10), unlabelled=world.rows(40, 9)))) == []


def test_a_sample_of_many_labelled_rows_will_do(monkeypatch):
    monkeypatch.setattr(relevance, "AGAINST", 50)
    world = World()
    (finding,) = Relevance().run(world.ground(rows(world), unlabelled=[*world.rows(40, 0), *world.rows(3, 9)]))
    assert {41, 42, 43} <= {row.row for row in finding.rows}
