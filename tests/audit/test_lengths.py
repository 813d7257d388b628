"""Only rows that are far out are named; an even file has none."""

from pathlib import Path

import pytest

from fewtune.audit.base import Ground
from fewtune.audit.lengths import Lengths, has_words
from fewtune.data.read import read
from fewtune.testing.checks import rows_of

EXAMPLES = Path(__file__).parents[2] / "examples"
EVEN = [f"Message number {row} is about as long as all the others are" for row in range(30)]


def findings(texts, **parts):
    return list(Lengths().run(Ground(rows_of(texts, ["a"] * len(texts)), **parts)))


def test_an_even_file_has_none_though_its_spread_is_nothing():
    assert findings(EVEN) == []
    assert findings([*EVEN, EVEN[0] * 3, EVEN[0][:20]]) == []


def test_far_out_rows_are_ranked_with_what_they_measure():
    (found,) = findings([*EVEN, "word " * 400, "OK"])
    assert [row.row for row in found.rows] == [31, 32]
    assert found.rows[0].note == "1,999 characters, 36 times more"
    assert found.rows[1].note.startswith("2 characters, ")
    assert found.numbers["median_characters"] == 56
    assert found.severity == "note"


def test_one_giant_does_not_hide_another():
    (found,) = findings([*EVEN, *("x" * 10**size for size in (4, 5, 6))])
    assert [len(row.text) for row in found.rows] == [10**6, 10**5, 10**4]


@pytest.mark.parametrize(("text", "there"), [("...", False), (" ?!", False), ("👍", True), ("7", True), ("你", True)])
def test_words_are_letters_digits_and_symbols(text, there):
    assert has_words(text) is there


def test_rows_without_words_are_a_warning_in_every_part():
    (found,) = findings([*EVEN, "..."], unlabelled=rows_of(["?", EVEN[0]], [None, None]))
    assert [(row.part, row.row) for row in found.rows] == [("train", 31), ("unlabelled", 1)]
    assert found.severity == "warning"
    assert "--drop empty" in found.do


def test_of_the_example_tickets_one_thumb_is_far_out():
    ground = Ground(*(read(EXAMPLES / f"tickets{end}.csv", labelled=None) for end in ("", "_test", "_unlabelled")))
    (found,) = Lengths().run(ground)
    assert [row.text for row in found.rows] == ["👍"]


def test_too_few_rows_have_no_rest_to_compare_with():
    assert findings(["short", "x" * 100_000]) == []
