from __future__ import annotations

import pytest
from rich.console import Console

from fewtune.report.scores_table import scores_table, shown
from fewtune.scoring import score

ROWS = [
    {"prompt": "p(name=joe)", "reference": "joe is here to stay", "answer": f"joe is here {row}"} for row in range(12)
]


def drawn(found):
    console = Console(width=120, color_system=None)
    with console.capture() as captured:
        console.print(scores_table(found))
    return captured.get()


@pytest.mark.parametrize(
    ("name", "value", "sign", "expected"),
    [
        ("bleu", 41.26, False, "41.3"),
        ("exact_match", 0.123, False, "12.3 %"),
        ("exact_match", 0.123, True, "+12.3"),
        ("bits_per_byte", 1.23456, False, "1.235"),
        ("perplexity", 12.345, False, "12.35"),
        ("mine", 0.5, False, "0.500"),
        ("loss", None, False, "–"),
    ],
)
def test_values_are_shown_in_their_units(name, value, sign, expected):
    assert shown(name, value, sign=sign) == expected


def test_a_table_of_one_system():
    text = drawn(score(ROWS).to_json())
    assert "BLEU" in text
    assert "Verdict" not in text
    assert "12 rows." in text
    assert "BLEU: nrefs:1|case:mixed" in text
    assert "Of 12 slots: 0 missing, 0 repeated, 0 added" in text
    assert "Without Loss a token, Perplexity, Bits per byte: no losses were measured." in text


def test_a_table_of_two_systems():
    text = drawn(score(ROWS, against=[{**row, "answer": "no"} for row in ROWS]).to_json())
    assert "Verdict" in text
    assert "better" in text
    assert "Differences are positive where the first is better." in text


def test_names_of_own_scores_cannot_drive_the_terminal():
    def sly(outputs, references):
        return 1.0

    sly.__name__ = "a\x1b[31mb"
    assert "\x1b" not in drawn(score(ROWS, scores=["chrf"], own=[sly]).to_json())
