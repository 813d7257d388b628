from __future__ import annotations

import math

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from text_worlds import one_each, sentences, spoiled

from fewtune.metrics.ngrams import bleu, bleu_of, chrf, chrf_of


def streams(references):
    """As sacrebleu takes them: the first reference of each row, the second, …; None where a row has fewer."""
    most = max(map(len, references))
    return [[row[place] if place < len(row) else None for row in references] for place in range(most)]


def public_bleu(outputs, references, **settings):
    return sacrebleu.corpus_bleu(outputs, streams(references), force=True, **settings).score


def public_chrf(outputs, references, **settings):
    return sacrebleu.corpus_chrf(outputs, streams(references), **settings).score


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    texts = sentences(rng, 120)
    references = [[text, *spoiled(rng, [text] * int(rng.integers(0, 3)), 0.3)] for text in texts]
    return spoiled(rng, texts, 0.25), references


@pytest.mark.parametrize("tokenize", ["13a", "intl", "char", "none"])
def test_bleu_is_sacrebleus(corpus, tokenize):
    assert bleu(*corpus, tokenize=tokenize).value() == pytest.approx(public_bleu(*corpus, tokenize=tokenize), abs=1e-9)


def test_lowercase_bleu_is_sacrebleus():
    outputs, references = ["The Cat sat on the mat", "A dog ran"], [["the cat SAT on a mat"], ["a dog ran off"]]
    found = bleu(outputs, references, lowercase=True)
    assert found.value() == pytest.approx(public_bleu(outputs, references, lowercase=True), abs=1e-9)
    assert "case:lc" in found.signature


def test_chrf_is_sacrebleus(corpus):
    assert chrf(*corpus).value() == pytest.approx(public_chrf(*corpus), abs=1e-9)
    assert chrf(*corpus, word_order=2).value() == pytest.approx(public_chrf(*corpus, word_order=2), abs=1e-9)


ODD = [
    (["a b c d e"], [["v w x y z"]]),
    (["a b"], [["a b"]]),
    ([""], [["a b c d"]]),
    (["", "a b c d e f"], [["x"], ["a b c d e f"]]),
    (["a b c d"], [[""]]),
    (["a x b y c z d"], [["a b c d"]]),
    (["the the the the the"], [["the cat is on the mat", "there is a cat on the mat"]]),
    (["a b c d e f g h"], [["a b c d", "a b c d e f g h i j k l"]]),
    (["你好 世界 今天 天气"], [["你好 世界 今天 很 好"]]),
    (["two\nlines here today now"], [["two lines here today now"]]),
]


@pytest.mark.parametrize(("outputs", "references"), ODD)
def test_odd_rows_are_as_sacrebleu_has_them(outputs, references):
    assert bleu(outputs, references).value() == pytest.approx(public_bleu(outputs, references), abs=1e-9)
    assert chrf(outputs, references).value() == pytest.approx(public_chrf(outputs, references), abs=1e-9)


TEXT = st.one_of(st.lists(st.sampled_from("abcd"), max_size=9).map(" ".join), st.text(max_size=12))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_any_texts_are_as_sacrebleu_has_them(rows):
    outputs, references = [output for output, _ in rows], [list(row) for _, row in rows]
    assert bleu(outputs, references).value() == pytest.approx(public_bleu(outputs, references), abs=1e-9)
    assert chrf(outputs, references).value() == pytest.approx(public_chrf(outputs, references), abs=1e-9)


def test_every_draw_is_what_sacrebleu_gives_for_its_rows(corpus):
    outputs, references = corpus
    rng = np.random.default_rng(1)
    for count, public in ((bleu, public_bleu), (chrf, public_chrf)):
        stats_NF = count(outputs, references).stats_NF
        picked_DN = rng.integers(0, len(outputs), (8, len(outputs)))
        scores_D = count(outputs, references).combine(stats_NF[picked_DN].sum(axis=1))
        for score, picked in zip(scores_D, picked_DN, strict=True):
            expected = public([outputs[row] for row in picked], [references[row] for row in picked])
            assert score == pytest.approx(expected, abs=1e-9)


def test_bleu_by_hand():
    # 5 words, 4 found; 4 bigrams, 3 found; 3 trigrams, 2 found; 2 of four, 1 found; reference 6 words.
    found = bleu(["a b c d x"], [["a b c d e f"]])
    expected = 100 * math.exp(1 - 6 / 5) * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert found.value() == pytest.approx(expected)
    assert found.stats_NF.tolist() == [[5, 6, 4, 3, 2, 1, 5, 4, 3, 2]]


def test_orders_without_a_match_count_halves_in_turn():
    # Exponential smoothing: no trigram and no 4-gram matches, so they count 1/2 and 1/4 of one.
    expected = 100 * (5 / 6 * 2 / 5 * 0.5 / 4 * 0.25 / 3) ** 0.25
    assert float(bleu_of(np.array([6.0, 6, 5, 2, 0, 0, 6, 5, 4, 3]))) == pytest.approx(expected)


def test_chrf_by_hand():
    # One order only: precision 1/2, recall 1/4; F2 weighs recall four times.
    precision, recall = 0.5, 0.25
    expected = 100 * 5 * precision * recall / (4 * precision + recall)
    sums = np.zeros(18)
    sums[:3] = 4, 8, 2
    assert float(chrf_of(sums)) == pytest.approx(expected)


def test_signatures_are_the_librarys():
    one, several = [["a b c d"], ["e f g h"]], [["a b c d"], ["e f g h", "e f g"]]
    signature = f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    assert bleu(["a b c d", "e f"], one).signature == signature
    assert bleu(["a b c d", "e f"], several).signature.startswith("nrefs:var|")
    assert "nc:6|nw:0" in chrf(["a b c d", "e f"], one).signature


def test_extremes_are_the_floor_and_the_ceiling():
    rng = np.random.default_rng(2)
    texts = sentences(rng, 30)
    for count in (bleu, chrf):
        score = count(spoiled(rng, texts, 0.4), one_each(texts))
        low_F, high_F = score.extremes(score.stats_NF.mean(axis=0))
        assert float(score.combine(low_F)) == 0.0
        assert float(score.combine(high_F)) == pytest.approx(100.0)


def test_no_hint_about_split_words_reaches_the_terminal(caplog):
    bleu(["a b ."] * 200, [["a b ."]] * 200)
    assert caplog.text == ""
