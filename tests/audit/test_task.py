"""Whether labelled rows make a task, in the words of a fit."""

import pytest
from audit_worlds import rows_of

from fewtune.audit.base import Ground
from fewtune.audit.task import Task


def found(pairs):
    return list(Task().run(Ground(rows_of(pairs))))


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([("one", "a")], "The only labelled row has the one label 'a'."),
        ([("one", "a"), ("two", "a")], "All 2 labelled rows have the one label 'a'."),
        ([("one", "a"), ("one", "b")], "All 2 rows have the same text."),
        ([(f"text {n}", f"{n / 7:.3f}") for n in range(30)], "a quantity to predict"),
    ],
)
def test_what_a_fit_refuses_stands_in_the_way(pairs, said):
    [finding] = found(pairs)
    assert finding.severity == "blocks"
    assert said in finding.what


def test_names_that_are_one_but_for_case_are_shown_with_the_rarer_ones_rows():
    pairs = [(f"text {n}", "refund" if n % 4 else "Refund") for n in range(12)] + [(f"word {n}", "other") for n in "ab"]
    [finding] = found(pairs)
    assert finding.severity == "warning"
    assert "'Refund', 'refund'" in finding.what
    assert [row.row for row in finding.rows] == [1, 5, 9]
    assert finding.numbers["rows"] == {"Refund": 3, "refund": 9}


def test_a_task_is_no_finding():
    assert found([(f"text {n}", "ab"[n % 2]) for n in range(10)]) == []
