"""The part that is trained gives what the whole encoder gives, and only its live layers move."""

import numpy as np
import pytest
import torch

from fewtune.backbones.body import Body
from fewtune.backbones.layers import layer_count, layer_list
from fewtune.backbones.load import load_encoder
from fewtune.errors import BackboneError
from fewtune.testing.tiny_backbones import ARCHITECTURES, LAYERS
from fewtune.testing.toys import toy_dataset

LAYERED = [name for name in ARCHITECTURES if name != "albert"]
TEXTS = [
    "the dog and the cat",
    "red",
    "my old hammer is here with a very new saw and one file and two pliers, your drill was there.",
    "a hen is pink",
    "",
    "zzz unheard of words",
]


@pytest.fixture(scope="module", params=LAYERED)
def encoder(request, tiny_folders):
    return load_encoder(tiny_folders(request.param))


def uncached(encoder, text):
    """Straight through transformers' own model, one text at a time."""
    coded = encoder.tokenizer([text], return_tensors="pt")
    with torch.no_grad():
        hidden_1TD = encoder.model(coded["input_ids"], attention_mask=coded["attention_mask"]).last_hidden_state
    return hidden_1TD[0, 0] if encoder.pooling.mode == "cls" else hidden_1TD[0].mean(0)


@pytest.mark.parametrize("depth", range(LAYERS))
@pytest.mark.parametrize("count", [1, 2, len(TEXTS)])
def test_cached_layers_give_the_vectors_of_the_whole_encoder(encoder, depth, count):
    # A batch of two is in it because a tuple of two is what some layers return.
    body = Body(encoder, depth=depth).eval()
    wanted = torch.stack([uncached(encoder, text) for text in TEXTS[:count]])
    torch.testing.assert_close(body(TEXTS[:count]).detach(), wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(body.embed(TEXTS[:count], normalise=False), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("depth", range(LAYERS))
def test_gradients_are_those_of_the_whole_encoder(encoder, depth):
    """Through cached states or through all layers, a live weight is told the same."""
    texts = TEXTS[:3]
    body, whole = Body(encoder, depth=depth).eval(), Body(encoder, depth=0).eval()
    body(texts).square().sum().backward()
    whole(texts).square().sum().backward()
    wanted = dict(whole.model.named_parameters())
    moved = [name for name, parameter in body.model.named_parameters() if parameter.grad is not None]
    assert moved
    for name in moved:
        torch.testing.assert_close(
            dict(body.model.named_parameters())[name].grad, wanted[name].grad, atol=1e-4, rtol=1e-3
        )


def test_only_live_layers_are_trainable_and_frozen_tensors_are_shared(encoder):
    depth = 1
    body = Body(encoder, depth=depth)
    live = {id(p) for layer in list(layer_list(body.model))[depth:] for p in layer.parameters()}
    original = dict(encoder.model.named_parameters())
    for name, parameter in body.model.named_parameters():
        assert parameter.requires_grad == (id(parameter) in live)
        if parameter.requires_grad:
            assert parameter.data_ptr() != original[name].data_ptr()
        else:
            assert parameter is original[name]
        assert not original[name].requires_grad


def test_training_a_body_leaves_the_encoder_and_other_bodies_as_they_were(encoder):
    before = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
    first, second = Body(encoder, depth=1), Body(encoder, depth=1)
    optimiser = torch.optim.SGD([p for p in first.parameters() if p.requires_grad], lr=1.0)
    first(TEXTS).square().sum().backward()
    optimiser.step()
    assert not torch.allclose(first.embed(TEXTS), second.embed(TEXTS))
    for name, tensor in encoder.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_trained_tensors_can_be_put_back(encoder):
    body = Body(encoder, depth=1)
    kept, vectors = body.trained(), body.embed(TEXTS)
    with torch.no_grad():
        for parameter in body.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))
    assert not torch.allclose(body.embed(TEXTS), vectors)
    body.load_trained(kept)
    assert torch.equal(body.embed(TEXTS), vectors)


def test_repeated_texts_and_order(encoder):
    body = Body(encoder, depth=1).eval()
    several = ["red", "the dog", "red", "a hen is pink", "the dog"]
    once = {text: body([text])[0] for text in set(several)}
    torch.testing.assert_close(body(several), torch.stack([once[text] for text in several]), atol=1e-5, rtol=1e-5)


def test_embedding_leaves_the_mode_as_it_was(encoder):
    body = Body(encoder, depth=0)
    body.train(True)
    body.embed(TEXTS)
    assert body.training
    body.train(False)
    body.embed(TEXTS)
    assert not body.training


def test_a_saved_body_is_an_encoder_that_transformers_opens(encoder, tmp_path):
    body = Body(encoder, depth=1)
    with torch.no_grad():
        for parameter in body.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    body.save(tmp_path)
    encoder.tokenizer.save_pretrained(tmp_path)
    again = load_encoder(tmp_path)
    np.testing.assert_allclose(again.embed(TEXTS), body.embed(TEXTS).numpy(), atol=1e-5)
    assert not np.allclose(again.embed(TEXTS), encoder.embed(TEXTS), atol=1e-3)


def test_shared_layers_cannot_be_frozen_one_by_one_but_are_trained_whole(tiny_folders):
    encoder = load_encoder(tiny_folders("albert"))
    assert layer_count(encoder.model) == 0
    with pytest.raises(BackboneError, match="shares its layers"):
        Body(encoder, depth=1)
    body = Body(encoder, depth=0)
    np.testing.assert_allclose(body.embed(TEXTS).numpy(), encoder.embed(TEXTS), atol=1e-5)
    trainable = {name for name, parameter in body.model.named_parameters() if parameter.requires_grad}
    assert trainable
    assert not any("embeddings" in name for name in trainable)


@pytest.mark.parametrize("depth", [-1, LAYERS, LAYERS + 3])
def test_a_depth_that_leaves_no_layer_is_refused(tiny_encoder, depth):
    with pytest.raises(BackboneError, match="layers"):
        Body(tiny_encoder, depth=depth)


def test_chunks_of_like_length_do_not_change_vectors(tiny_encoder):
    """More texts than one chunk holds, of all lengths."""
    texts = toy_dataset(80).texts + TEXTS
    body = Body(tiny_encoder, depth=2)
    np.testing.assert_allclose(body.embed(texts).numpy(), tiny_encoder.embed(texts), atol=1e-5)
    torch.testing.assert_close(body.eval()(texts).detach(), body.embed(texts, normalise=False), atol=1e-5, rtol=1e-5)
