"""Rewordings: the pairs that comparing all finds, by a bar that follows how close the rows lie by nature."""

import numpy as np
import pytest

from fewtune.audit import reworded as module
from fewtune.audit.duplicates import overlap, reworded
from fewtune.audit.reworded import CLOSE, LEAST_COSINE, closeness_bar, reworded_pairs, weighted_grams


def unit(vectors_ND):
    return (vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)).astype(np.float32)


def cloud(count, spread, seed=0, width=32):
    """Vectors around one centre: the smaller the spread, the closer they lie."""
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=width) + spread * rng.normal(size=(count, width)))


def words(count, vocabulary=300):
    rng = np.random.default_rng(0)
    known = ["".join(rng.choice(list("abcdefghijklmnop"), 6)) for _ in range(vocabulary)]
    return [" ".join(rng.choice(known, 7)) for _ in range(count)]


def test_pairs_are_those_of_the_whole_matrix(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_CELLS", 700)  # several blocks
    monkeypatch.setattr(module, "CHUNK_PAIRS", 50)
    texts, vectors_ND = words(60), cloud(60, 0.6)
    texts[7], texts[50] = texts[3] + " extra", texts[41].replace("a", "o")
    grams = weighted_grams(texts).toarray()
    closeness = 0.6 * vectors_ND @ vectors_ND.T + 0.4 * grams @ grams.T
    wanted = {
        (i, j)
        for i in range(60)
        for j in range(i + 1, 60)
        if closeness[i, j] >= 0.5 and vectors_ND[i] @ vectors_ND[j] >= LEAST_COSINE
    }
    found = reworded_pairs(texts, vectors_ND, at_least=0.5)
    assert set(zip(found.left_P.tolist(), found.right_P.tolist(), strict=True)) == wanted
    assert found.closeness_P == pytest.approx(closeness[found.left_P, found.right_P], abs=1e-4)
    across = reworded_pairs(texts, vectors_ND, at_least=0.5, border=40)
    assert set(zip(across.left_P.tolist(), across.right_P.tolist(), strict=True)) == {
        (i, j) for i, j in wanted if i < 40 <= j
    }


def test_a_row_keeps_its_nearest_when_everything_is_close(monkeypatch):
    monkeypatch.setattr(module, "NEIGHBOURS", 3)
    texts, vectors_ND = words(50), cloud(50, 0.05)
    found = reworded_pairs(texts, vectors_ND, at_least=0.55)
    assert 50 <= len(found) <= 150
    assert (found.left_P < found.right_P).all()


def test_the_bar_rises_where_rows_lie_close_by_nature():
    texts = words(200)
    assert closeness_bar(texts, cloud(200, 5.0)) == CLOSE
    assert closeness_bar(words(200, vocabulary=12), cloud(200, 0.1)) > 0.8


def test_the_bar_does_not_follow_planted_rewordings():
    texts, vectors_ND = words(200), cloud(200, 5.0)
    with_planted = [*texts, *(f"{text} so" for text in texts), *(f"well {text}" for text in texts)]
    assert closeness_bar(with_planted, np.concatenate([vectors_ND] * 3)) == CLOSE


def test_few_rows_have_the_plain_bar():
    assert closeness_bar([], np.zeros((0, 4), np.float32)) == closeness_bar(["a", "b"], cloud(2, 1.0)) == CLOSE
    assert len(reworded_pairs([], np.zeros((0, 4), np.float32), at_least=0.7)) == 0


@pytest.fixture(scope="module")
def minilm():
    from fewtune.backbones.load import load_encoder

    return load_encoder("default").embed


TRAIN = [
    "The parcel that I ordered three weeks ago has not arrived.",
    "How do I change the battery of the doorbell?",
    "You charged my credit card twice for the same subscription.",
    "The thermostat shows an error and will not connect to the network.",
]


def test_a_rewording_is_found_and_another_matter_of_the_same_kind_is_not(minilm):
    test = [
        "The parcel which I ordered three weeks ago still has not yet arrived.",
        "My credit card, you charged it twice for the same subscription!",
        "How do I install the doorbell on a brick wall?",
        "Please send the invoice again.",
    ]
    found = overlap(TRAIN, test, embed=minilm)
    assert [(pair.train, pair.test, pair.kind) for pair in found] == [(0, 0, "reworded"), (2, 1, "reworded")]
    pairs, bar = reworded([*TRAIN, *TRAIN, test[0]], minilm)
    assert bar == CLOSE
    assert list(zip(pairs.left_P.tolist(), pairs.right_P.tolist(), strict=True)) == [(0, 8)]


def test_what_is_spelled_alike_is_named_by_its_spelling(minilm):
    found = overlap(TRAIN, [TRAIN[0], TRAIN[1].upper(), TRAIN[2].replace("twice", "twcie")], embed=minilm)
    assert [pair.kind for pair in found] == ["exact", "normalised", "near"]
    assert overlap([], ["a"], embed=minilm) == overlap(["a"], [], embed=minilm) == []
