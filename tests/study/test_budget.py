"""Lengths of time as people write them; a budget that is kept."""

from types import SimpleNamespace

import pytest

from fewtune.errors import UsageError
from fewtune.study import budget as budgets
from fewtune.study.budget import Budget, BudgetSpent, parse


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("1h30m", 5400),
        (" 1 h 30 m ", 5400),
        ("1.5m", 90),
        ("1H", 3600),
        (60, 60),
        (0.5, 0.5),
        (None, None),
    ],
)
def test_lengths_of_time(text, seconds):
    assert parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-5",
        "-5m",
        "0",
        "0s",
        0,
        -1,
        "5 minutes",
        "1d",
        "m",
        "1h2",
        float("nan"),
        float("inf"),
        "1e9",
        "nan",
    ],
)
def test_what_is_no_length_of_time(text):
    with pytest.raises(UsageError, match="budget"):
        parse(text)


def test_without_a_limit_nothing_is_ever_spent():
    budget = Budget(None)
    assert budget.left == float("inf")
    budget.check()


def test_the_reserve_is_kept_back(monkeypatch):
    monkeypatch.setattr(budgets, "time", SimpleNamespace(perf_counter=lambda: 104.0))
    budget = Budget(10.0, started=100.0)
    assert budget.spent == 4
    assert budget.left == 6
    budget.reserve = 5.5
    assert budget.left == 0.5
    budget.check()
    budget.reserve = 6
    with pytest.raises(BudgetSpent):
        budget.check()
