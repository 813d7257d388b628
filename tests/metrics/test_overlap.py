from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from text_worlds import sentences, spoiled

from fewtune.metrics.overlap import exact_match, normalised_match, rouge, squad_words, token_f1, unread_by_rouge

LIBRARY = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}


def library(outputs, references, stem=False):
    scorer = RougeScorer(list(LIBRARY.values()), use_stemmer=stem)
    rows = [scorer.score_multi(refs, output) for output, refs in zip(outputs, references, strict=True)]
    return {ours: [row[theirs].fmeasure for row in rows] for ours, theirs in LIBRARY.items()}


@pytest.mark.parametrize("stem", [False, True])
def test_rouge_is_rouge_scores_row_by_row(stem):
    rng = np.random.default_rng(0)
    texts = [*sentences(rng, 60), "Running runners ran, didn't they?", "Ünïcode text 42", "", "one"]
    references = [[text, *spoiled(rng, [text] * int(rng.integers(0, 3)), 0.4)] for text in texts]
    outputs = [*spoiled(rng, texts[:-4], 0.3), "A runner runs; they did not.", "unicode text 42", "words", ""]
    expected = library(outputs, references, stem)
    for name, found in rouge(outputs, references, stem=stem).items():
        assert found.values_N() == pytest.approx(expected[name], abs=1e-12)
        assert found.value() == pytest.approx(np.mean(expected[name]), abs=1e-12)


TEXT = st.one_of(st.lists(st.sampled_from("abcd"), max_size=9).map(" ".join), st.text(max_size=12))


@settings(max_examples=40, deadline=None)
@given(TEXT, st.lists(TEXT, min_size=1, max_size=3))
def test_any_texts_are_as_rouge_score_has_them(output, references):
    expected = library([output], [references])
    for name, found in rouge([output], [references]).items():
        assert found.value() == pytest.approx(expected[name][0], abs=1e-12)


def test_rouge_by_hand():
    found = rouge(["the cat sat"], [["the cat on the mat sat"]])
    assert found["rouge_1"].value() == pytest.approx(2 * 3 / (3 + 6))
    assert found["rouge_2"].value() == pytest.approx(2 * 1 / (2 + 5))
    assert found["rouge_l"].value() == pytest.approx(2 * 3 / (3 + 6))
    # "cat … the" is in order, "sat" before them is not.
    assert rouge(["sat cat the"], [["the cat on the mat sat"]])["rouge_l"].value() == pytest.approx(2 * 2 / (3 + 6))


def test_rouge_says_how_it_counted():
    assert rouge(["a"], [["a"]])["rouge_l"].signature.startswith("stemmer:no|refs:max|f:1|rouge_score:0.1")
    assert "stemmer:porter" in rouge(["a"], [["a"]], stem=True)["rouge_1"].signature


def test_rouge_without_stemming_loads_no_nltk():
    code = (
        "import sys; from fewtune.metrics.overlap import rouge; rouge(['a b'], [['a b']]); print('nltk' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_letters_beyond_a_to_z_are_not_read():
    assert rouge(["привет мир"], [["привет мир"]])["rouge_1"].value() == 0.0
    assert unread_by_rouge(["привет", "мир"]) == 1.0
    assert unread_by_rouge(["plain text"]) == 0.0
    assert unread_by_rouge(["..."]) == 0.0


@pytest.mark.parametrize(
    ("output", "reference", "same"),
    [
        ("a  b\n", " a b", True),
        ("cafe\u0301", "caf\u00e9", True),
        ("A b", "a b", False),
        ("a b.", "a b", False),
        ("", "  ", True),
    ],
)
def test_exact_match_looks_past_white_space_only(output, reference, same):
    assert exact_match([output], [[reference]]).value() == float(same)


def test_any_reference_will_do():
    assert exact_match(["b", "c"], [["a", "b"], ["a", "b"]]).value() == 0.5
    assert token_f1(["b"], [["a", "b"]]).value() == 1.0


@pytest.mark.parametrize(
    ("output", "reference", "same"),
    [("The Eiffel Tower!", "eiffel tower", True), ("an answer", "answer", True), ("two", "2", False), ("x", "", False)],
)
def test_normalised_match_is_squads(output, reference, same):
    assert normalised_match([output], [[reference]]).value() == float(same)


def test_token_f1_by_hand():
    # "the" goes; 2 words shared of 3 and 4, one of them once only.
    assert token_f1(["the red red cafe"], [["a red cafe near park"]]).value() == pytest.approx(2 * 2 / (3 + 4))
    assert token_f1(["blue"], [["red"]]).value() == 0.0
    assert token_f1(["", "", "a"], [[""], ["x"], ["the"]]).values_N().tolist() == [1.0, 0.0, 1.0]
    assert squad_words("The U.S. is a state, isn't it?") == ["us", "is", "state", "isnt", "it"]


def test_a_match_is_a_plain_rate_and_f1_is_not():
    assert exact_match(["a", "b"], [["a"], ["c"]]).is_rate
    assert not token_f1(["a b", "b"], [["b c"], ["c"]]).is_rate
