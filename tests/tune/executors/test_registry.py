"""Executors by name: every one there is, and what to do where one is not."""

import sys

import pytest

from fewtune import TextClassifier
from fewtune.errors import MissingExtra, UsageError
from fewtune.study.evaluator import default_executor
from fewtune.study.settings import Settings
from fewtune.testing.toys import toy_dataset
from fewtune.tune.executors.base import Executor
from fewtune.tune.executors.registry import AUTO, NAMES, executor
from fewtune.tune.executors.serial import SerialExecutor


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ray"])
def test_every_name_makes_one(name):
    made = executor(name)
    assert isinstance(made, Executor)
    made.close()
    made.close()  # nothing is held, so nothing is lost


def test_auto_is_what_an_evaluator_takes_by_itself():
    assert type(executor(AUTO)) is type(default_executor())


def test_a_name_nobody_has_and_an_address_nobody_reads():
    with pytest.raises(UsageError, match="Known: auto, serial"):
        Settings(executor="parallel")
    with pytest.raises(UsageError, match="--executor ray"):
        Settings(executor="serial", ray_address="head:6379")


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"fewtune\[ray\]"):
        executor("ray")


class Watched(SerialExecutor):
    """Remembers whether it was closed."""

    closed = False

    def close(self):
        self.closed = True


def test_what_is_made_for_a_fit_is_closed_and_what_was_made_elsewhere_is_not(tiny_folders, monkeypatch):
    from fewtune import fitting

    rows = toy_dataset(8)
    plain = {"backbones": (str(tiny_folders("bert")),), "methods": ("probe",), "folds": 2, "repeats": 1}
    mine = Watched()
    fitting.fit(rows, Settings(**plain, executor=mine))
    assert not mine.closed
    made = Watched()
    monkeypatch.setattr("fewtune.fitting.executor", lambda name, *, ray_address: made)
    fitting.fit(rows, Settings(**plain, executor="serial"))
    assert made.closed


def test_a_classifier_takes_a_name(tiny_folders):
    rows = toy_dataset(8)
    options = {"backbone": str(tiny_folders("bert")), "methods": ["probe"], "folds": 2, "repeats": 1}
    found = [
        TextClassifier(**options, executor=name).fit(rows.texts, rows.labels).result_["ladder"]
        for name in ("serial", "forked")
    ]
    assert [rung["cv"]["accuracy"] for rung in found[0]] == [rung["cv"]["accuracy"] for rung in found[1]]
    with pytest.raises(UsageError, match="no executor"):
        TextClassifier(**options, executor="magic").fit(rows.texts, rows.labels)
