"""What a frozen layer's queries, keys and values are for a text is computed once, and changes nothing."""

import gc
import weakref

import numpy as np
import pytest
import torch

from fewtune.backbones.load import load_encoder
from fewtune.backbones.looks import Looks
from fewtune.backbones.prefix.limits import Room
from fewtune.methods.base import Material
from fewtune.methods.lora import LoRA
from fewtune.methods.top_layers import TopLayers

TEXTS = ["the dog and the cat", "red", "my old hammer is here with a very new saw", "a hen is pink", ""]
LABELS = np.asarray([0, 1, 1, 0, 1])


@pytest.fixture
def encoder(tiny_folders):
    return load_encoder(tiny_folders("bert"))


def losses(encoder, *, keep, steps=4):
    """Of a run with dropout, with and without what is kept of its first live layer."""
    method = LoRA(layers=2, rank=2, lora_dropout=0.2)
    tunable = method.build(Material(TEXTS, LABELS, ("animal", "tool"), encoder, seed=3))
    tunable.train(True)
    assert tunable.body._known is not None
    if not keep:
        tunable.body._known = None
    parameters = [tensor for group in tunable.parameter_groups() for tensor in group["params"]]
    found = []
    for step in range(steps):
        loss = tunable.loss(np.roll(np.arange(5), step)[:3])
        with torch.no_grad():
            for parameter, grad in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter -= 0.05 * grad
        found.append(float(loss.detach()))
    return found


def test_a_run_is_the_same_to_the_last_bit(encoder):
    without = losses(encoder, keep=False)
    assert not encoder.looks(1).kept
    assert losses(encoder, keep=True) == without
    assert set(encoder.looks(1).kept) == set(TEXTS)
    assert losses(encoder, keep=True) == without  # from what is kept alone


def test_adapters_write_in_a_copy_of_what_is_kept(encoder):
    losses(encoder, keep=True, steps=1)
    before = {text: kept.clone() for text, kept in encoder.looks(1).kept.items()}
    losses(encoder, keep=True)
    for text, kept in before.items():
        assert torch.equal(kept, encoder.looks(1).kept[text])


def test_layers_whose_own_weights_move_keep_nothing(encoder):
    tunable = TopLayers(layers=2).build(Material(TEXTS, LABELS, ("animal", "tool"), encoder, seed=3))
    tunable.train(True)
    tunable.loss(np.arange(5))
    assert tunable.body._known is None
    assert not encoder.looks(1).kept


def test_they_are_all_there_before_workers_part(encoder):
    """Each worker would keep them for itself."""
    LoRA(layers=2, rank=2).warm(encoder, [*TEXTS, *TEXTS])
    assert set(encoder.looks(1).kept) == set(TEXTS)
    warmed = {text: kept.clone() for text, kept in encoder.looks(1).kept.items()}
    encoder.looks(1).kept.clear()
    losses(encoder, keep=True, steps=5)
    for text, kept in encoder.looks(1).kept.items():
        assert torch.equal(kept, warmed[text])


def test_warming_ends_where_the_room_does(encoder):
    looks = encoder.looks(1)
    looks.room = Room(600)
    LoRA(layers=2, rank=2).warm(encoder, TEXTS)
    assert len(looks.kept) < len(TEXTS)
    assert sum(kept.nbytes for kept in looks.kept.values()) <= 600


def test_warming_a_method_whose_layers_move_keeps_none(encoder):
    TopLayers(layers=2).warm(encoder, TEXTS)
    assert not encoder.looks(1).kept


def states_of(length):
    return torch.randn(length, 4, generator=torch.Generator().manual_seed(length))


def test_a_text_is_computed_once_and_the_filling_is_zeros():
    asked = []

    def doubled(states_SD):
        asked.append(len(states_SD))
        return 2 * states_SD

    looks = Looks(Room(10_000))
    states = [states_of(3), states_of(2)]
    first = looks.pack(["abc", "de"], states, 11, doubled)
    again = looks.pack(["de", "abc", "de"], [states[1], states[0], states[1]], 9, doubled)
    assert asked == [16]
    assert torch.equal(first, torch.cat([2 * states[0], 2 * states[1], torch.zeros(11, 4)]))
    assert torch.equal(again, torch.cat([2 * states[1], 2 * states[0], 2 * states[1], torch.zeros(9, 4)]))


def test_without_room_texts_are_computed_each_time():
    room = Room(3 * 4 * 4)  # the first text alone
    looks = Looks(room)
    for _ in range(2):
        found = looks.pack(["abc", "de"], [states_of(3), states_of(2)], 0, torch.neg)
        assert torch.equal(found, -torch.cat([states_of(3), states_of(2)]))
    assert list(looks.kept) == ["abc"]
    assert room.left == 0


def test_room_is_given_back_with_what_was_in_it():
    room = Room(1_000)
    looks = Looks(room)
    looks.pack(["abc"], [states_of(3)], 0, torch.neg)
    assert room.left == 1_000 - 48
    del looks
    gc.collect()
    assert room.left == 1_000


def test_a_texts_states_of_no_token_are_nothing():
    looks = Looks(Room(1_000))
    assert looks.pack([""], [torch.zeros(0, 4)], 16, torch.neg).shape == (16, 4)


def test_a_pass_with_shared_dropout_leaves_no_graph_behind(encoder):
    tunable = LoRA(layers=2, rank=2, lora_dropout=0.2).build(
        Material(TEXTS, LABELS, ("animal", "tool"), encoder, seed=3)
    )
    tunable.train(True)
    for layer in tunable.body.live:  # the layers' own code, which asks each adapter's dropout
        layer.forward = layer.forward.own_forward
    tunable.body._straight = False
    seen = []
    hook = tunable.body.live[1].register_forward_pre_hook(lambda _layer, args: seen.append(weakref.ref(args[0])))
    tunable.loss(np.arange(5)).backward()
    hook.remove()
    gc.collect()
    assert seen[0]() is None
