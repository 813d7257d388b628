"""Ways to tell of a stage, over what a subclass draws."""

import pytest

from fewtune.study.progress import Progress


class Told(Progress):
    def __init__(self):
        self.said = []

    def start(self, title, total):
        self.said.append((title, total))

    def advance(self):
        self.said.append("one")

    def finish(self, sentence=""):
        self.said.append("over")


def test_a_stage_of_one_is_over_when_its_work_is():
    told = Told()
    with told.stage("Fitting"):
        assert told.said == [("Fitting", 1)]
    assert told.said == [("Fitting", 1), "one", "over"]


def test_a_stage_that_raises_is_not_finished():
    told = Told()
    with pytest.raises(ZeroDivisionError), told.stage("Fitting"):
        raise ZeroDivisionError
    assert told.said == [("Fitting", 1)]


def test_one_by_one_each_is_told_when_it_is_done():
    told, seen = Told(), []
    for name in told.through("Opening", ["a", "b"]):
        seen.append((name, told.said.count("one")))
    assert seen == [("a", 0), ("b", 1)]
    assert told.said == [("Opening", 2), "one", "one", "over"]


def test_several_at_once():
    told = Told()
    told.several(3)
    assert told.said == ["one"] * 3
