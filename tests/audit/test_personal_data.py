"""Personal data are shown with their rows, and the command that masks them."""

from fewtune.audit.base import Ground
from fewtune.audit.personal_data import PersonalDataCheck
from fewtune.testing.checks import rows_of


def findings(texts, **parts):
    return list(PersonalDataCheck().run(Ground(rows_of(texts, ["a"] * len(texts)), **parts)))


def test_none_in_ordinary_rows():
    assert findings(["Where is my parcel?", "Order 4471-2290-11 of 2024-01-15 cost 12,500.00"]) == []


def test_rows_are_ranked_by_how_much_they_hold():
    (found,) = findings(["write to ann@example.org", "fine", "ann@example.org or +44 20 7946 0958"])
    assert [(row.row, row.note) for row in found.rows] == [
        (3, "1 e-mail address, 1 telephone number"),
        (1, "1 e-mail address"),
    ]
    assert (found.severity, found.numbers) == ("note", {"email": 2, "phone": 1})
    assert "--mask all" in found.do


def test_money_makes_it_a_warning_and_every_part_is_looked_at():
    test = rows_of(["card 4111 1111 1111 1111"], ["a"])
    (found,) = findings(["fine"], test=test)
    assert (found.severity, found.rows[0].part) == ("warning", "test")
