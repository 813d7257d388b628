"""Columns that give the label away are named by how they do; columns of chance are not, whatever the seed."""

import random

import pytest

from fewtune.audit.base import Ground
from fewtune.audit.telling_columns import TellingColumns
from fewtune.data.base import Dataset, Example

LABELS = ("late", "broken", "refund")


def table(columns, *, labels=None, rows=150, ids=None, groups=None):
    """Rows of distinct texts; a column is a function of (row, label, generator)."""
    rng = random.Random(0)
    labels = labels or [rng.choice(LABELS) for _ in range(rows)]
    made = []
    for row, label in enumerate(labels):
        fields = {name: column(row, label, rng) for name, column in columns.items()}
        text = " ".join(rng.choices("abcdefghijklmnop", k=12)) + f" {row}"
        id, group = ids(row, label, rng) if ids else str(row + 1), groups(row, label, rng) if groups else None
        made.append(Example(text, label, id=id, row=row + 1, fields=fields, group=group))
    return Dataset(tuple(made))


def found(dataset, **ground):
    return list(TellingColumns().run(Ground(dataset, **ground)))


def of_class(row, label, rng):
    """One of 12 customers of the label's own."""
    return f"{label}-{rng.randrange(12)}"


@pytest.mark.parametrize("seed", range(5))
def test_columns_of_chance_say_nothing(seed):
    chance = random.Random(seed)
    columns = {
        "shop": lambda *_: chance.choice("ABCDE"),
        "customer": lambda *_: f"c{chance.randrange(60)}",
        "amount": lambda *_: f"{chance.random() * 100:.2f}",
        "day": lambda *_: f"2024-{chance.randrange(1, 13):02d}-{chance.randrange(1, 28):02d}",
        "code": lambda *_: f"{chance.choice(['AB', 'CD'])}-{chance.randrange(10**6)}",
        "empty": lambda *_: None,
        "same": lambda *_: "yes",
    }
    assert found(table(columns), seed=seed) == []


def test_customers_of_one_label_each_block_until_they_are_the_group():
    (finding,) = found(table({"customer": of_class}))
    assert finding.severity == "blocks"
    assert finding.what.startswith("Column 'customer' alone tells ")
    assert "--group 'customer'" in finding.do
    assert finding.numbers["as"] == "group"
    (finding,) = found(table({"customer": of_class}, groups=lambda row, label, rng: f"{label}-{row % 12}"))
    assert finding.severity == "warning"


def test_a_few_values_that_follow_the_label_warn():
    (finding,) = found(table({"queue": lambda row, label, rng: "Q1" if label == "late" else "Q2"}))
    assert (finding.severity, finding.numbers["as"]) == ("warning", "values")


def test_the_label_under_another_name_is_only_noted():
    (finding,) = found(table({"code": lambda row, label, rng: str(LABELS.index(label))}))
    assert (finding.severity, finding.numbers["as"]) == ("note", "label")


def test_dates_that_part_the_classes():
    months = {"late": "01", "broken": "05", "refund": "09"}
    for form in ("2024-{m}-{d:02d}T10:00:00", "{d:02d}/{m}/2024", "{d:02d}.{m}.2024"):

        def day(row, label, rng, form=form):
            return form.format(m=months[label], d=rng.randrange(1, 28))

        (finding,) = found(table({"sent": day}))
        assert (finding.severity, finding.numbers["as"]) == ("warning", "time"), form
        assert finding.numbers["accuracy"] > 0.9


def test_days_that_repeat_are_no_customers():
    """Grouping by day would mend nothing."""
    (finding,) = found(table({"sent": lambda row, label, rng: f"2024-0{LABELS.index(label) + 1}-1{rng.randrange(5)}"}))
    assert (finding.severity, finding.numbers["as"]) == ("warning", "time")


def test_numbers_that_part_the_classes():
    (finding,) = found(table({"amount": lambda row, label, rng: str(LABELS.index(label) * 100 + rng.random())}))
    assert (finding.severity, finding.numbers["as"]) == ("warning", "number")


def test_ids_that_begin_with_the_class():
    dataset = table({}, ids=lambda row, label, rng: f"{label[:2].upper()}-{rng.randrange(10**6)}")
    (finding,) = found(dataset)
    assert (finding.severity, finding.numbers["as"]) == ("warning", "code")
    assert finding.what.startswith("The id alone tells 100 %")


def test_a_file_sorted_by_label_is_noted_once_although_its_ids_count_up():
    labels = [label for label in LABELS for _ in range(50)]
    (finding,) = found(table({}, labels=labels, ids=lambda row, label, rng: f"T{row:04d}"))
    assert (finding.severity, finding.numbers["as"]) == ("note", "order")
    assert finding.rows == ()


def test_too_few_rows_or_one_class_say_nothing():
    assert found(table({"customer": of_class}, rows=10)) == []
    assert found(table({"customer": of_class}, labels=["late"] * 40)) == []
