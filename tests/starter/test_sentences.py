"""Rows made of the corpus's own sentences: what the prompt names stands in the sentence, and nothing is lost of it."""

from __future__ import annotations

from random import Random

import pytest
import sentences

TEXT = (
    "The old miller walked slowly to the village of Greystone that evening. Nobody had seen his brother since the "
    'great storm. "Come in," she said. It rained. The captain and Mary Wilkes carried two baskets of apples up the '
    "steep hill, and Mrs. Brown followed them with a lantern. Then every sailor in the harbour laughed at the "
    "frightened merchant."
)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Many rows of one short text, as every sentence is taken each time."""
    monkeypatch.setattr(sentences, "ONE_SENTENCE_IN", 1)
    return [row for seed in range(60) for row in sentences.rows(TEXT, Random(seed))]


def test_every_phrase_a_prompt_names_stands_in_its_sentence(
    made: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(made) > 100
    monkeypatch.setattr(sentences, "ONE_SENTENCE_IN", 1)
    monkeypatch.setattr(sentences, "_FORMS", (lambda phrases, random: "\n".join(phrases),))
    for seed in range(60):
        for row in sentences.rows(TEXT, Random(seed)):
            phrases = row["prompt"].split("\n")
            assert 2 <= len(phrases) <= 4
            assert all(row["completion"].count(phrase) == 1 for phrase in phrases), row


def test_sentences_are_whole_plain_and_long_enough(made: list[dict[str, str]]) -> None:
    for row in made:
        assert row["completion"][0].isupper() or row["completion"] == row["completion"].lower()
        assert row["completion"][-1] in ".!?"
        assert '"' not in row["completion"]
        assert len(row["completion"].split()) >= sentences.FEWEST_WORDS - 2  # a made-up name may be shorter


def test_some_sentences_name_what_nobody_could_guess(made: list[dict[str, str]]) -> None:
    own_words = set(TEXT.lower().replace(".", " ").replace(",", " ").split())
    strange = [
        row for row in made if set(row["completion"].lower().replace(".", " ").replace(",", " ").split()) - own_words
    ]
    assert 0.3 < len(strange) / len(made) < 0.9


def test_some_words_stand_where_the_text_had_others(made: list[dict[str, str]]) -> None:
    """A word from elsewhere in the text can be copied only: its sentence does not call for it."""
    own = {sentence.strip() for sentence in TEXT.lower().split(". ")}
    words = set(TEXT.lower().replace(".", " ").replace(",", " ").replace('"', " ").split())
    moved = [row for row in made if set(row["completion"].lower().rstrip(".").replace(",", "").split()) <= words]
    assert any(row["completion"].lower().rstrip(".") not in own for row in moved)


def test_one_row_in_five_is_all_in_small_letters(made: list[dict[str, str]]) -> None:
    small = [row for row in made if row["completion"] == row["completion"].lower()]
    assert 0.1 < len(small) / len(made) < 0.3


def test_the_same_text_gives_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = (list(sentences.rows(TEXT * 40, Random("a title"))) for _ in range(2))
    assert first == again
    monkeypatch.setattr(sentences, "ONE_SENTENCE_IN", 1)
    assert 0 < len(first) < len(list(sentences.rows(TEXT * 40, Random("a title")))) * 0.7


def test_a_title_does_not_end_a_sentence(made: list[dict[str, str]]) -> None:
    assert any("Mrs. Brown" in row["completion"] for row in made)
    assert not any(row["completion"].startswith("Brown") for row in made)
