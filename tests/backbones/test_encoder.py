"""A text's vector depends on the text and the weights, on nothing else; and is computed once."""

import numpy as np
import pytest

from fewtune.backbones import batches
from fewtune.backbones.load import load_encoder
from fewtune.testing.tiny_backbones import ARCHITECTURES, WIDTH

LONG = "the old hammer is here and your new saw was there with my very brown dog and one cat"


@pytest.fixture(params=list(ARCHITECTURES))
def encoder(request, tiny_folders):
    return load_encoder(tiny_folders(request.param))


@pytest.fixture
def fresh(tiny_folders):
    return load_encoder(tiny_folders("bert"))


def test_padding_does_not_reach_a_vector(encoder, tiny_folders):
    alone = encoder.embed(["red"])[0]
    together = load_encoder(encoder.folder).embed([LONG, "red", "a cat"])[1]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(alone), 1.0, atol=1e-5)


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken"])
def test_padding_does_not_reach_a_vector_in_any_pooling(tiny_folders, mode):
    folder = tiny_folders("bert", mode)
    alone = load_encoder(folder).embed(["red"])[0]
    together = load_encoder(folder).embed([LONG, "red", "a cat"])[1]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_each_pooling_gives_vectors_of_its_own(tiny_folders):
    vectors = [
        load_encoder(tiny_folders("bert", mode)).embed([LONG])[0] for mode in ("mean", "cls", "max", "lasttoken")
    ]
    for first in range(4):
        for second in range(first):
            assert not np.allclose(vectors[first], vectors[second], atol=1e-3)


def test_what_was_embedded_is_not_computed_again(fresh):
    fresh.embed(["red", "a cat"])
    calls = []
    fresh._frozen.model.register_forward_pre_hook(lambda *_: calls.append(1))
    first = fresh.embed(["a cat", "red", "a cat"])
    assert not calls
    np.testing.assert_array_equal(first[0], first[2])
    fresh.embed(["red", "blue"])
    assert len(calls) == 1
    fresh.hidden(["red", "blue"], 1)
    fresh.hidden(["blue", "red"], 1)
    assert len(calls) == 2


def test_no_texts_give_no_vectors(fresh):
    assert fresh.embed([]).shape == (0, WIDTH)


def test_progress_adds_up_to_the_distinct_texts(fresh):
    told = []
    fresh.embed(["red", "blue", "red", LONG, ""], progress=told.append)
    assert sum(told) == 4


def test_long_texts_are_cut_and_counted(fresh):
    assert fresh.max_tokens == 64
    just, beyond = " ".join(["dog"] * 62), " ".join(["dog"] * 63)
    tokens = fresh.tokens([just, beyond])
    assert [len(ids) for ids in tokens] == [64, 64]
    assert fresh.truncated == {beyond}
    assert tokens[0][-1] == fresh.tokenizer.sep_token_id
    assert tokens[1] == tokens[0]


def test_a_cell_of_a_megabyte_costs_no_more_than_a_long_one(fresh, monkeypatch):
    huge = "dog " * 250_000
    longest = []
    inner = fresh.tokenizer._encode_plus if hasattr(fresh.tokenizer, "_encode_plus") else None
    assert inner is not None

    def seen(text, *args, **kwargs):
        longest.append(max(map(len, text)))
        return inner(text, *args, **kwargs)

    monkeypatch.setattr(fresh.tokenizer, "_encode_plus", seen)
    np.testing.assert_allclose(fresh.embed([huge]), fresh.embed([" ".join(["dog"] * 70)]), atol=1e-6)
    assert huge in fresh.truncated
    assert max(longest) < 10_000


def test_texts_no_tokenizer_can_encode_still_get_a_vector(fresh):
    vectors = fresh.embed(["\ud800 broken", "", " \n\t ", "\x00", "🤷‍♀️ שלום"])
    assert np.isfinite(vectors).all()


def test_batches_hold_every_row_once_and_keep_the_budget():
    lengths = np.random.default_rng(0).integers(1, 60, 200).tolist()
    made = list(batches.by_length(lengths, token_budget=128))
    assert sorted(np.concatenate(made).tolist()) == list(range(200))
    for rows in made:
        assert len(rows) == 1 or max(lengths[row] for row in rows) * len(rows) <= 128
    padded = sum(max(lengths[row] for row in rows) * len(rows) for rows in made)
    assert padded < 1.1 * sum(lengths)
    assert list(batches.by_length([], token_budget=10)) == []


def test_a_text_longer_than_the_budget_is_a_batch_of_its_own():
    assert [rows.tolist() for rows in batches.by_length([5, 500, 5], token_budget=10)] == [[0, 2], [1]]
