"""Whether there are rows enough to tell anything."""

import numpy as np
import pytest
from audit_worlds import rows_of

from fewtune.audit.base import Ground, Predictions
from fewtune.audit.sufficiency import Sufficiency
from fewtune.chance import half_width


def ground(rows, accuracy=None, classes=2, test=None):
    data = rows_of([(f"text {n}", f"c{n % classes}") for n in range(rows)])
    predict = None
    if accuracy is not None:
        labels = np.arange(rows) % classes
        right = np.arange(rows) // classes % 10 < 10 * accuracy
        probs = 0.9 * np.eye(classes)[np.where(right, labels, (labels + 1) % classes)] + 0.1 / classes
        predict = lambda: Predictions(labels, probs)  # noqa: E731
    other = None if test is None else rows_of([(f"other {n}", f"c{n % classes}") for n in range(test)])
    return Ground(data, other, predict=predict)


def said(looked_at):
    return {finding.what.split(" ")[0]: finding for finding in Sufficiency().run(looked_at)}


def test_many_rows_need_nothing_said():
    assert list(Sufficiency().run(ground(20_000, accuracy=0.9, test=2000))) == []


def test_few_rows_are_a_warning_with_the_rows_it_takes():
    first, *_ = Sufficiency().run(ground(40, accuracy=0.8))
    assert first.severity == "warning"
    assert first.numbers["half_width"] == pytest.approx(half_width(0.8, 40 * 0.8), abs=1e-3)
    needed = first.numbers["rows_needed"]
    assert "40 independent rows tell an accuracy to ±13 points; for ±5 points it takes" in first.what
    assert half_width(first.numbers["accuracy"], needed * 0.8) <= 0.05 < half_width(0.8, (needed - 3) * 0.8)


def test_classes_and_the_gain_that_can_be_seen():
    findings = list(Sufficiency().run(ground(300, accuracy=0.9, classes=3)))
    assert [finding.severity for finding in findings] == ["note", "note"]
    classes, gain = findings
    assert [one["class"] for one in classes.numbers["classes"]] == ["c0", "c1", "c2"]
    assert all(one["rows"] == 100 < one["rows_needed"] for one in classes.numbers["classes"])
    assert gain.numbers["smallest_gain"] > 0.03
    assert gain.numbers["power"] < 0.8
    assert gain.numbers["rows_needed"] > 300
    assert "learning curve" in gain.do


def test_better_models_need_fewer_rows():
    needed = [said(ground(300, accuracy=a))["A"].numbers["rows_needed"] for a in (0.7, 0.9)]
    assert needed[0] > needed[1]


def test_without_a_model_it_is_assumed_and_said_so():
    classes = next(f for f in Sufficiency().run(ground(300)) if "recall" in f.what)
    assert classes.numbers["measured"] is False
    assert {one["assumed_recall"] for one in classes.numbers["classes"]} == {0.8}


def test_copies_count_once():
    data = rows_of([("the same words over and over", "a")] * 50 + [(f"text {n}", "b") for n in range(10)])
    first, *_ = Sufficiency().run(Ground(data))
    assert first.numbers["rows"] == 11
    classes = next(f for f in Sufficiency().run(Ground(data)) if "recall" in f.what)
    assert {one["class"]: one["rows"] for one in classes.numbers["classes"]} == {"a": 1, "b": 10}


@pytest.mark.parametrize(("rows", "severity"), [(30, "warning"), (150, "note")])
def test_a_small_test_file(rows, severity):
    found = said(ground(20_000, accuracy=0.9, test=rows)) if rows < 100 else said(ground(20_000, 0.8, test=rows))
    finding = found["The"]
    assert finding.numbers["rows"] == rows
    assert finding.severity in ("note", severity)


def test_one_class_is_not_its_business():
    assert list(Sufficiency().run(ground(30, classes=1))) == []
