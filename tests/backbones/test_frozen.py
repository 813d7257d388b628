"""Frozen answers carried to another encoder of the same weights are its own, and cost it nothing."""

import pickle

import numpy as np
import pytest
import torch

from fewtune.backbones.frozen import adopt, gather
from fewtune.backbones.load import load_encoder

TEXTS = ["the red dog", "a saw", "the black cat and the old horse with two hens"]


@pytest.fixture
def pair(tiny_folders):
    return load_encoder(tiny_folders("bert")), load_encoder(tiny_folders("bert"))


def silence(encoder, monkeypatch):
    """From here on it may not compute."""

    def computed(*_args, **_options):
        raise AssertionError("it was computed again")

    monkeypatch.setattr(encoder, "model", computed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_one_has_said_the_other_says_bit_for_bit(pair, monkeypatch, dtype):
    mine, other = pair
    vectors_ND = mine.embed(TEXTS)
    mine.keep({}, {2: {text: state.to(dtype) for text, state in zip(TEXTS, mine.hidden(TEXTS, 2), strict=True)}})
    adopt(other, pickle.loads(pickle.dumps(gather(mine))))
    monkeypatch.setattr(type(other), "device", property(lambda _: torch.device("cpu")))
    silence(other, monkeypatch)
    np.testing.assert_array_equal(other.embed(TEXTS[::-1]), vectors_ND[::-1])
    for state, theirs in zip(mine.hidden(TEXTS, 2), other.hidden(TEXTS, 2), strict=True):
        assert theirs.dtype == dtype
        assert torch.equal(state, theirs)


def test_shared_memory_that_may_not_be_written_is_enough(pair):
    mine, other = pair
    mine.embed(TEXTS)
    mine.hidden(TEXTS, 1)
    answers = gather(mine)
    for one in answers:
        one.values_SD.setflags(write=False)
    adopt(other, answers)
    assert torch.equal(torch.cat(other.hidden(TEXTS, 1)), torch.cat(mine.hidden(TEXTS, 1)))


def test_what_is_known_is_not_sent_again(pair):
    mine, _ = pair
    assert gather(mine) == []
    mine.embed(TEXTS)
    first = gather(mine)
    known = {one.depth: one.texts for one in first}
    assert gather(mine, known) == []
    mine.hidden(TEXTS, 2)
    assert [one.depth for one in gather(mine, known)] == [2]
    mine.embed(["something new"])
    assert [one.depth for one in gather(mine, known)] == [None, 2]
