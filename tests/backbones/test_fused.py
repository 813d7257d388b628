"""A layer written out as one function gives what the layer's own code gives: answers, gradients, noise."""

import numpy as np
import pytest
import torch

from fewtune.backbones.body import Body
from fewtune.backbones.fused import FusedLayer
from fewtune.backbones.layout import Layout, laid_out
from fewtune.backbones.load import load_encoder
from fewtune.methods.base import Material
from fewtune.methods.full import Full
from fewtune.methods.lora import LoRA
from fewtune.testing.tiny_backbones import make_tiny_backbone

OF_BERTS_SHAPE = ("bert", "roberta")
TEXTS = ["the dog and the cat", "red", "my old hammer is here with a very new saw", "a hen is pink", ""]
LABELS = np.asarray([0, 1, 1, 0, 1])


@pytest.fixture(params=OF_BERTS_SHAPE)
def encoder(request, tiny_folders):
    return load_encoder(tiny_folders(request.param))


def run_of(method, encoder, seed=3):
    """A run on five rows, and its layers."""
    tunable = method.build(Material(TEXTS, LABELS, ("animal", "tool"), encoder, seed=seed))
    tunable.train(True)
    return tunable, tunable.body.live


def with_own_code(tunable):
    """The same run, its layers computed by transformers."""
    for layer in tunable.body.live:
        layer.forward = layer.forward.own_forward
    tunable.body._straight = False
    return tunable


def loss_and_gradients(tunable, steps=2):
    """After a few steps of plain descent, so that both factors of an adapter move."""
    parameters = [tensor for group in tunable.parameter_groups() for tensor in group["params"]]
    for _ in range(steps):
        loss = tunable.loss(np.arange(len(TEXTS)))
        grads = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, grad in zip(parameters, grads, strict=True):
                parameter -= 0.05 * grad
    return float(loss.detach()), grads


METHODS = {
    "lora": LoRA(layers=2, rank=3, lora_dropout=0.3),
    "lora of some": LoRA(layers=1, rank=2, lora_dropout=0.0, targets=("query", "value")),
    "lora of all layers": LoRA(layers=3, rank=2),
    "full": Full(),
    "without dropout": LoRA(layers=2, rank=2, lora_dropout=0.0, dropout=0.0),
    "full without dropout": Full(dropout=0.0),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_losses_and_gradients_are_those_of_the_layers_own_code(method, encoder):
    fused, layers = run_of(method, encoder)
    assert all(isinstance(layer.forward, FusedLayer) for layer in layers)
    own = with_own_code(run_of(method, encoder)[0])
    mine, theirs = loss_and_gradients(fused), loss_and_gradients(own)
    assert mine[0] == pytest.approx(theirs[0], rel=1e-5)
    assert sum(float(grad.abs().sum()) for grad in mine[1]) > 0
    for grad, expected in zip(mine[1], theirs[1], strict=True):
        torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("which", ["query", "key", "value", "attention.output.dense", "intermediate.dense"])
def test_gradients_are_those_of_small_differences(which, encoder):
    """Against arithmetic that knows nothing of a backward pass, dropout included: its stream begins anew each time."""
    tunable, _ = run_of(LoRA(layers=2, rank=2, lora_dropout=0.2), encoder)
    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for adapter in tunable.body.adapters.values():  # far from 0, so that every place bears on the loss
            adapter.lora_A.normal_(std=0.1, generator=drawn)
            adapter.lora_B.normal_(std=0.1, generator=drawn)
    adapter = next(a for name, a in tunable.body.adapters.items() if name.endswith(which))

    def loss():
        tunable.body.noise.begin(0, 11)
        return tunable.loss(np.arange(len(TEXTS)))

    (grad,) = torch.autograd.grad(loss(), [adapter.lora_A])
    step = 1e-3 * grad / grad.norm()
    with torch.no_grad():
        adapter.lora_A += step
        above = float(loss())
        adapter.lora_A -= 2 * step
        below = float(loss())
    assert above - below == pytest.approx(float(2 * (grad * step).sum()), rel=0.05)


def test_in_bf16_it_stays_as_near_to_float32_as_the_layers_own_code(tiny_folders, monkeypatch):
    method = LoRA(layers=2, rank=3, lora_dropout=0.0, dropout=0.0)
    exact = loss_and_gradients(run_of(method, load_encoder(tiny_folders("bert")))[0])
    monkeypatch.setattr("fewtune.backbones.precision.detect", lambda: "bf16")
    monkeypatch.setattr("fewtune.backbones.fused.detect", lambda: "bf16")
    monkeypatch.setattr("fewtune.backbones.encoder.detect", lambda: "bf16")
    monkeypatch.setattr("fewtune.backbones.passes.detect", lambda: "bf16")
    encoder = load_encoder(tiny_folders("bert"))
    fused, layers = run_of(method, encoder)
    assert all(isinstance(layer.forward, FusedLayer) for layer in layers)
    mine = loss_and_gradients(fused)
    theirs = loss_and_gradients(with_own_code(run_of(method, encoder)[0]))

    def error(found):
        return float(sum((a - b).norm() for a, b in zip(found[1], exact[1], strict=True)))

    assert error(mine) > 0
    assert error(mine) < 1.5 * error(theirs)


def test_layers_of_another_shape_keep_their_own_code(tiny_folders):
    for architecture in ("modernbert", "distilbert", "deberta", "albert"):
        encoder = load_encoder(tiny_folders(architecture))
        body = Body(encoder, depth=0)
        assert not any(isinstance(layer.forward, FusedLayer) for layer in body.live)


def test_a_layer_that_answers_otherwise_is_not_taken_over(tmp_path):
    """All names are there, but the activation is another, or the layer is a decoder's."""
    encoder = load_encoder(make_tiny_backbone(tmp_path / "tiny", "bert"))
    body = Body(encoder, depth=1)
    layer = body.live[0]
    layer.forward = layer.forward.own_forward
    inner = layer.forward
    layer.forward = lambda *args, **kwargs: inner(*args, **kwargs) * 1.5
    body.fuse()
    assert not isinstance(layer.forward, FusedLayer)
    layer.forward = inner
    layer.intermediate.intermediate_act_fn = torch.nn.ReLU()
    body.fuse()
    assert not isinstance(layer.forward, FusedLayer)


def test_long_texts_go_the_layers_own_way(tiny_folders, monkeypatch):
    encoder = load_encoder(tiny_folders("bert"))
    body = Body(encoder, depth=1).eval()
    expected = body(TEXTS).detach()
    monkeypatch.setattr("fewtune.backbones.fused.SHORT", 4)
    monkeypatch.setattr("fewtune.backbones.attention.SHORT", 4)
    torch.testing.assert_close(body(TEXTS).detach(), expected, rtol=1e-5, atol=1e-6)


def test_adapters_of_one_input_share_its_dropout_and_others_do_not(encoder):
    """Query and value are handed the same states; the output's states are others, and so are its zeros."""
    tunable, layers = run_of(LoRA(layers=1, rank=2, lora_dropout=0.5, dropout=0.0), encoder)
    attention = layers[0].attention
    looks = [attention.self.query, attention.self.key, attention.self.value]
    assert len({id(adapter.dropout) for adapter in looks}) == 1
    assert attention.output.dense.dropout is not looks[0].dropout
    states_1SD = torch.ones(1, 10, encoder.width)
    with laid_out(Layout([4, 6], noise=tunable.body.noise)):
        first, second = looks[0].dropout(states_1SD), looks[2].dropout(states_1SD)
        anew = looks[2].dropout(states_1SD.clone())
    assert first is second
    assert set(first.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(first, anew)
