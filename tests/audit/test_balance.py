"""Class sizes."""

import pytest
from audit_worlds import rows_of

from fewtune.audit.balance import Balance
from fewtune.audit.base import Ground
from fewtune.data.base import Dataset, Example


def ground(**sizes):
    return Ground(rows_of([(f"{name} {n}", name) for name, size in sizes.items() for n in range(size)]))


def test_even_classes_are_no_finding():
    assert list(Balance().run(ground(a=20, b=25, c=30))) == []


def test_rare_classes_are_named_with_their_rows():
    finding, uneven = Balance().run(ground(a=20, b=20, c=4, d=1))
    assert uneven.severity == "note"
    assert finding.severity == "warning"
    assert finding.what == "2 classes have fewer than 5 independent rows: 'd' (1), 'c' (4)."
    assert [row.label for row in finding.rows] == ["d", "c", "c", "c", "c"]
    assert finding.numbers["sizes"] == {"a": 20, "b": 20, "c": 4, "d": 1}


def test_rows_of_one_group_count_once():
    rows = [Example(f"a {n}", "a", row=n) for n in range(20)]
    rows += [Example(f"b {n}", "b", row=20 + n, group="one customer") for n in range(20)]
    (finding,) = Balance().run(Ground(Dataset(tuple(rows))))
    assert finding.numbers["rare"] == {"b": 1}


@pytest.mark.parametrize(("sizes", "severity"), [({"a": 90, "b": 10}, "warning"), ({"a": 60, "b": 45, "c": 6}, "note")])
def test_uneven_classes(sizes, severity):
    (finding,) = Balance().run(ground(**sizes))
    assert finding.severity == severity
    assert f"'a' has {sizes['a']} of" in finding.what


def test_one_class_is_not_its_business():
    assert list(Balance().run(ground(a=3))) == []
