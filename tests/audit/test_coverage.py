"""Kinds of unlabelled text that the labelled rows pass by."""

import pytest
from audit_worlds import World

from fewtune.audit.coverage import Coverage, uncovered


def world_of(kinds_labelled, kinds_pool=(0, 1, 2, 3), labelled=60, pool=400, seed=0):
    world = World(spread=0.6, seed=seed)
    train = [row for kind in kinds_labelled for row in world.rows(labelled // len(kinds_labelled), kind, f"c{kind}")]
    rest = [row for kind in kinds_pool for row in world.rows(pool // len(kinds_pool), kind)]
    return world.ground(train, unlabelled=rest)


def test_a_kind_passed_by_is_found_and_rows_to_label_are_named():
    ground = world_of((0, 1, 2))
    (finding,) = Coverage().run(ground)
    assert finding.severity == "warning"
    assert {row.part for row in finding.rows} == {"unlabelled"}
    assert all(row.row > 300 for row in finding.rows)
    assert len({row.text for row in finding.rows}) == len(finding.rows) >= 5
    share = sum(cluster["share"] for cluster in finding.numbers["clusters"])
    assert share == pytest.approx(0.25, abs=0.1)
    assert all(cluster["labelled"] == 0 for cluster in finding.numbers["clusters"])


@pytest.mark.parametrize("seed", range(10))
def test_a_random_draw_covers_the_pool(seed):
    assert list(Coverage().run(world_of((0, 1, 2, 3), seed=seed))) == []


def test_it_is_the_same_on_every_call():
    ground = world_of((0, 1, 2))
    assert uncovered(ground) == uncovered(ground)


def test_too_few_rows_say_nothing():
    assert list(Coverage().run(world_of((0, 1, 2), labelled=15))) == []
    assert list(Coverage().run(world_of((0, 1, 2), pool=40))) == []


def test_copies_in_the_pool_are_not_a_kind():
    world = World(spread=0.6)
    train = [row for kind in (0, 1) for row in world.rows(40, kind, f"c{kind}")]
    pool = [*world.rows(150, 0), *world.rows(150, 1), *world.rows(1, 5) * 200]
    assert list(Coverage().run(world.ground(train, unlabelled=pool))) == []
