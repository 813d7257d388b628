from __future__ import annotations

import math
import re

import pytest

from fewtune.report.sections.base import titles
from fewtune.report.words import (
    Range,
    clip,
    comparison,
    duration,
    interval,
    measure,
    of_hundred,
    share,
    short,
    signed,
)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.8421, "84.2 %"),
        (0, "0.0 %"),
        (1, "100.0 %"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        ("0.5", "–"),
        (True, "–"),
    ],
)
def test_share(value: object, written: str) -> None:
    assert plain(share(value)) == written


def test_numbers_never_break_from_their_unit() -> None:
    for text in (share(0.842), interval(Range(0.84, 0.801, 0.879)), duration(72)):
        assert not re.search(r"[\d–] [%\w–]", text.replace("min ", ""))


def test_interval() -> None:
    assert plain(interval(Range(0.84, 0.801, 0.879))) == "80.1 – 87.9 %"
    assert interval(None) == "–"


@pytest.mark.parametrize(
    "value",
    [None, {}, {"mean": 0.5}, {"mean": 0.5, "low": None, "high": 1}, [0.5], {"mean": 10**400, "low": 0, "high": 1}],
)
def test_range_of_something_incomplete_is_none(value: object) -> None:
    assert Range.of(value) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.784, 0.887, "texts like these, 78 to 89 are"), (0.84, 0.844, "about 84 are"), (-0.1, 1.2, "0 to 100 are")],
)
def test_of_hundred(low: float, high: float, expected: str) -> None:
    assert expected in of_hundred(Range(0.84, low, high))


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.21, "0.2 s"),
        (9.97, "10 s"),
        (59.6, "1 min"),
        (72, "1 min 12 s"),
        (741, "12 min"),
        (3599, "1 h"),
        (5400, "1 h 30 min"),
        (-1, "–"),
    ],
)
def test_duration(seconds: float, written: str) -> None:
    assert plain(duration(seconds)) == written


def test_measure_writes_losses_as_numbers_and_shares_in_per_cent() -> None:
    score = Range(0.5613, 0.47, 0.65)
    assert [plain(text) for text in measure("log_loss", score)] == ["0.561", "0.470 – 0.650"]
    assert [plain(text) for text in measure("macro_f1", score)] == ["56.1 %", "47.0 – 65.0 %"]
    assert measure("mcc", None) == ("–", "–")


def test_signed_and_short() -> None:
    assert [signed(value) for value in (0.0241, -0.006, 0.0001, -0.0001)] == ["+2.4", "−0.6", "0.0", "0.0"]
    assert [plain(short(value)) for value in (22_713_216, 147_456, 12)] == ["22.7 M", "147 k", "12"]


def test_comparison_in_words() -> None:
    value = {"other": "probe", "difference": 0.018, "low": -0.002, "high": 0.038, "rows_needed": 2900}
    found = comparison(value | {"verdict": "cannot be told apart with this much data"}, {"probe": "Probe"})
    assert found is not None
    assert (found.kind, found.verdict, found.other) == ("unclear", "cannot be told apart", "Probe")
    assert (plain(found.difference), found.between) == ("+1.8 points", "−0.2 to +3.8")
    assert found.remedy == "about 2,900 rows in all would tell"


def test_comparison_says_nothing_of_rows_needed_once_it_is_told() -> None:
    found = comparison({"verdict": "better", "difference": 0.05, "rows_needed": 10}, {})
    assert found is not None
    assert (found.kind, found.remedy) == ("better", "")


@pytest.mark.parametrize("value", [None, {}, 3, {"verdict": None}])
def test_no_comparison(value: object) -> None:
    assert comparison(value, {}) is None


def test_clip_states_the_full_length() -> None:
    assert clip("short  text\nhere").text == "short text here"
    assert clip("short").length is None
    clipped = clip("x" * 1_048_576, 320)
    assert (len(clipped.text), clipped.length) == (321, 1_048_576)
    spaces = clip(" " * 5000 + "end", 320)
    assert spaces.length == 5003


def test_clip_does_not_cut_inside_a_combined_character() -> None:
    family = "👩\u200d👩\u200d👧"
    assert clip("ab" + family, 4).text == "ab…"
    assert clip("ae\u0301e\u0301", 2).text == "a…"


def test_several_lengths_of_a_method_share_what_their_titles_have_in_common():
    def rung(name, title):
        return {"name": name, "title": title}

    tuning = [rung("contrastive", "Tuning"), rung("contrastive", "Tuning, 4 times as long")]
    lora = [rung("lora", "LoRA, 6 epochs"), rung("lora", "LoRA, 12 epochs"), rung("lora", "LoRA, 1 epoch")]
    result = {"ladder": [rung("probe", "Probe, of a kind"), *tuning, *lora], "winner": tuning[1]}
    assert titles(result) == {"probe": "Probe, of a kind", "contrastive": "Tuning", "lora": "LoRA"}


def test_a_comparison_is_named_by_the_rung_it_is_against():
    value = {"other": "contrastive", "verdict": "better than"}
    assert comparison(value, {"contrastive": "Tuning"}).other == "Tuning"
    value["other_title"] = "Tuning, 4 times as long"
    assert comparison(value, {"contrastive": "Tuning"}).other == "Tuning, 4 times as long"
