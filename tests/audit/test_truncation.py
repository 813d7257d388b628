"""Rows cut at the backbone's limit, counted by the backbone's own tokenizer."""

from fewtune.audit.base import Ground
from fewtune.audit.truncation import Truncation
from fewtune.testing.checks import rows_of, word_counts


def findings(texts, limit=10, **parts):
    train = rows_of(texts, ["a"] * len(texts))
    return list(Truncation().run(Ground(train, count_tokens=word_counts, most_tokens=limit, **parts)))


def test_nothing_is_said_where_nothing_is_cut():
    assert findings(["one two", "a b c d e f g h"]) == []


def test_rows_and_tokens_lost_are_counted_the_longest_first():
    (found,) = findings(["w " * 12, "fine", "w " * 28], test=rows_of(["w " * 10], ["a"]))
    assert [(row.part, row.row, row.note) for row in found.rows] == [
        ("train", 3, "30 tokens, the last 20 not read"),
        ("train", 1, "14 tokens, the last 4 not read"),
        ("test", 1, "12 tokens, the last 2 not read"),
    ]
    assert found.numbers == {"rows": 3, "limit": 10, "tokens": 59, "tokens_lost": 26}
    assert found.what == (
        "2 training rows (67 %) and 1 test row (100 %) are cut at 10 tokens: 26 tokens (44 % of all) are never read."
    )
    assert found.severity == "warning"


def test_few_rows_that_lose_little_are_a_note():
    (found,) = findings(["a b c d e f"] * 60 + ["w " * 9])
    assert found.severity == "note"


def test_a_real_encoder_counts_what_it_would_have_read(tiny_encoder):
    texts = ["the cat sat on the mat " * 200, "a dog"]
    ground = Ground(
        rows_of(texts, ["a", "b"]), count_tokens=tiny_encoder.full_lengths, most_tokens=tiny_encoder.max_tokens
    )
    (found,) = Truncation().run(ground)
    full, short = tiny_encoder.full_lengths(texts)
    assert found.numbers["tokens_lost"] == full - tiny_encoder.max_tokens
    assert found.numbers["tokens"] == full + short
