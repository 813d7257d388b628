"""The training step number by number."""

import math

import numpy as np
import pytest
import torch

from fewtune.backbones.body import Body
from fewtune.backbones.dropout import RunDropout
from fewtune.backbones.encoder import unit
from fewtune.methods.base import Material
from fewtune.methods.contrastive import Contrastive, pair_loss
from fewtune.methods.full import Full
from fewtune.methods.lora import LoRA
from fewtune.methods.top_layers import TopLayers
from fewtune.testing.toys import toy_dataset
from fewtune.tune.step import optimiser_for, rate_factor, training_step


@pytest.fixture
def material(tiny_encoder):
    toys = toy_dataset(6)
    return Material(toys.texts, np.asarray([0, 1, 2] * 6), toys.classes, tiny_encoder, seed=5)


def loss_of(tunable, rows):
    return float(tunable.loss(rows).detach())


def test_pair_loss_by_hand():
    cosine = torch.tensor([[1.0, 0.5, -0.2], [0.5, 1.0, 0.4], [-0.2, 0.4, 1.0]])
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    counted = ~torch.eye(3, dtype=torch.bool)
    # Pairs of one class: 0.5 twice. Pairs of two: -0.2 twice (no loss, it is already negative) and 0.4 twice.
    wanted = (1 - 0.5) ** 2 + (0.4**2 + 0.4**2) / 4
    assert float(pair_loss(cosine, same, counted)) == pytest.approx(wanted)


def test_pair_loss_without_pairs_of_a_kind():
    cosine, everything = torch.tensor([[1.0, 0.5], [0.5, 1.0]]), torch.ones(2, 2, dtype=torch.bool)
    counted = ~torch.eye(2, dtype=torch.bool)
    assert float(pair_loss(cosine, everything, counted)) == pytest.approx(0.25)
    assert float(pair_loss(cosine, ~everything, counted)) == pytest.approx(0.25)
    assert float(pair_loss(cosine, everything, ~everything)) == 0.0


def test_contrastive_batch_loss_by_hand(material):
    """Every pair of the batch but a row with itself, on unit vectors; the pull of names is apart."""
    tunable = Contrastive(name_pull=0.0).build(material)
    tunable.train(False)
    rows = np.asarray([0, 1, 3, 4])
    vectors = unit(tunable.body([tunable.texts[row] for row in rows])).detach().numpy().astype(float)
    labels = tunable.labels_N[rows]
    together, apart = [], []
    for a in range(4):
        for b in range(4):
            if a != b:
                cosine = float(vectors[a] @ vectors[b])
                (together if labels[a] == labels[b] else apart).append(
                    (1 - cosine) ** 2 if labels[a] == labels[b] else max(cosine, 0.0) ** 2
                )
    assert loss_of(tunable, rows) == pytest.approx(np.mean(together) + np.mean(apart), rel=1e-4)


def cross_entropy_by_hand(tunable, rows, *, smoothing=0.0, weights=None):
    vectors = unit(tunable.body([tunable.material.texts[row] for row in rows])).detach().numpy().astype(float)
    head = {name: tensor.numpy() for name, tensor in tunable.state().items() if name.startswith("head.")}
    logits = vectors @ head["head.weight"].T + head["head.bias"]
    total = norm = 0.0
    for row, z in zip(rows, logits, strict=True):
        log_p = z - math.log(sum(math.exp(value) for value in z))
        label = int(tunable.material.labels[row])
        w = np.ones(len(z)) if weights is None else weights
        total += (1 - smoothing) * -w[label] * log_p[label] + smoothing / len(z) * -(w * log_p).sum()
        norm += w[label]
    return total / norm


def test_cross_entropy_by_hand(material):
    tunable = TopLayers().build(material)
    tunable.train(False)
    rows = np.asarray([0, 4, 5])
    assert loss_of(tunable, rows) == pytest.approx(cross_entropy_by_hand(tunable, rows), rel=1e-4)


def test_label_smoothing_by_hand(material):
    tunable = TopLayers(label_smoothing=0.2).build(material)
    tunable.train(False)
    rows = np.asarray([0, 4, 5])
    wanted = cross_entropy_by_hand(tunable, rows, smoothing=0.2)
    assert loss_of(tunable, rows) == pytest.approx(wanted, rel=1e-4)
    assert wanted != pytest.approx(cross_entropy_by_hand(tunable, rows), rel=1e-3)


def test_class_weights_by_hand(tiny_encoder):
    toys = toy_dataset(6)
    rows = [row for row in range(18) if toys.labels[row] != "tools" or row < 6]
    labels = np.asarray([toys.classes.index(toys.labels[row]) for row in rows])
    material = Material([toys.texts[row] for row in rows], labels, toys.classes, tiny_encoder)
    tunable = TopLayers(class_weights=True).build(material)
    tunable.train(False)
    # 6, 6 and 2 rows: 14 rows over 3 classes; each class weighs the same in all.
    weights = np.asarray([14 / (3 * 6), 14 / (3 * 6), 14 / (3 * 2)])
    np.testing.assert_allclose(tunable.weights_C.numpy(), weights, rtol=1e-6)
    batch = np.asarray([0, 1, 2])
    assert loss_of(tunable, batch) == pytest.approx(cross_entropy_by_hand(tunable, batch, weights=weights), rel=1e-4)


def test_evaluation_loss_is_plain(material):
    """No smoothing, no weights, no dropout: comparable between recipes."""
    plain = TopLayers().build(material)
    other = TopLayers(label_smoothing=0.3, class_weights=True, dropout=0.5).build(material)
    rows = np.arange(6)
    texts, labels = material.texts[:6], material.labels[:6]
    for tunable in (plain, other):
        tunable.train(False)
        found = tunable.evaluation_loss(texts, labels)
        assert found == pytest.approx(cross_entropy_by_hand(tunable, rows), rel=1e-4)
    assert plain.evaluation_loss(texts, labels) == pytest.approx(other.evaluation_loss(texts, labels), rel=1e-6)


def test_chance_is_the_entropy_of_the_labels(tiny_encoder):
    toys = toy_dataset(4)
    labels = np.asarray([0] * 6 + [1] * 3 + [2] * 3)
    material = Material(toys.texts, labels, toys.classes, tiny_encoder)
    assert TopLayers().build(material).chance_loss() == pytest.approx(1.5 * math.log(2))


def test_schedule_by_hand():
    factors = [rate_factor(step, 10, 0.2) for step in range(10)]
    assert factors == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


@pytest.mark.parametrize(("total", "share"), [(1, 0.1), (2, 0.1), (7, 0.0), (60, 0.1), (600, 0.5), (5, 1.0)])
def test_schedule_climbs_to_one_then_falls_and_never_stands_still_at_nothing(total, share):
    factors = [rate_factor(step, total, share) for step in range(total)]
    assert max(factors) == 1.0
    assert min(factors) > 0
    peak = factors.index(1.0)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


METHODS = [Contrastive(), TopLayers(), Full(), LoRA()]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_step_moves_exactly_the_trainable_tensors(method, material):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tunable = method.build(material)
        optimiser = optimiser_for(tunable)
        tunable.train(True)
        # Two steps: LoRA's second factor starts at nought, so its first factor has no gradient in the first.
        head = dict(tunable.head.named_parameters()) if hasattr(tunable, "head") else {}
        before = {name: p.detach().clone() for name, p in tunable.body.named_parameters()}
        head_before = {name: p.detach().clone() for name, p in head.items()}
        encoder_before = {name: p.clone() for name, p in material.encoder.model.state_dict().items()}
        for indices in list(tunable.batches(np.random.default_rng(0)))[:3]:
            training_step(tunable, indices, optimiser, factor=1.0, clip_norm=1.0)
    stepped = {id(p) for group in optimiser.param_groups for p in group["params"]}
    moved, trainable = set(), set()
    for name, parameter in tunable.body.named_parameters():
        if not torch.equal(parameter, before[name]):
            moved.add(name)
        if parameter.requires_grad:
            trainable.add(name)
            assert id(parameter) in stepped
    # A key's bias shifts all scores of a query alike: its gradient is nought but for rounding.
    assert {name for name in moved ^ trainable if "key.bias" not in name} == set()
    assert all(not torch.equal(head[name], head_before[name]) for name in head)
    for name, tensor in material.encoder.model.state_dict().items():
        assert torch.equal(tensor, encoder_before[name]), name


def test_rates_are_each_groups_own_peak_times_the_factor(material):
    tunable = TopLayers(rate=3e-4, head_rate=7e-3, weight_decay=0.02).build(material)
    optimiser = optimiser_for(tunable)
    training_step(tunable, np.arange(4), optimiser, factor=0.5, clip_norm=1.0)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([1.5e-4, 3.5e-3])
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.02, 0.02]


def test_gradients_are_clipped(material, monkeypatch):
    norms = []
    inner = torch.nn.utils.clip_grad_norm_
    tunable = TopLayers().build(material)
    optimiser = optimiser_for(tunable)

    def seen(parameters, limit):
        inner(parameters, limit)
        norms.append(float(torch.sqrt(sum((p.grad**2).sum() for p in parameters if p.grad is not None))))

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", seen)
    training_step(tunable, np.arange(4), optimiser, factor=1.0, clip_norm=1e-3)
    assert norms[0] == pytest.approx(1e-3, rel=1e-2)


def test_the_first_update_is_adamws(material):
    """With bias correction the first step of Adam is the rate, whatever the gradient's size."""
    tunable = TopLayers(head_rate=1e-2, weight_decay=0.0).build(material)
    before = tunable.state()["head.bias"]
    training_step(tunable, np.arange(9), optimiser_for(tunable), factor=1.0, clip_norm=1e9)
    np.testing.assert_allclose((tunable.state()["head.bias"] - before).abs().numpy(), 1e-2, rtol=1e-3)


def test_weight_decay_shrinks_what_the_loss_does_not_hold(material):
    plain, decayed = TopLayers(weight_decay=0.0).build(material), TopLayers(weight_decay=0.9).build(material)
    for tunable in (plain, decayed):
        tunable.train(False)
        training_step(tunable, np.arange(9), optimiser_for(tunable), factor=1.0, clip_norm=1.0)
    ours = {name: p for name, p in decayed.body.named_parameters() if p.requires_grad and p.dim() == 2}
    for name, parameter in plain.body.named_parameters():
        if name in ours:
            assert float(ours[name].detach().norm()) < float(parameter.detach().norm())


def test_dropout_is_set_everywhere_and_changes_the_loss(material):
    tunable = TopLayers(dropout=0.5).build(material)
    shares = {part.share_K[0] for part in tunable.body.modules() if isinstance(part, RunDropout)}
    assert shares == {0.5}
    rows = np.arange(6)
    tunable.train(True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = loss_of(tunable, rows), loss_of(tunable, rows)
    assert first != second
    tunable.body.set_dropout(0.0)
    assert loss_of(tunable, rows) == loss_of(tunable, rows)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert", "modernbert", "deberta", "albert"])
def test_no_dropout_means_none_in_every_architecture(architecture, tiny_folders, material):
    from fewtune.backbones.load import load_encoder

    body = Body(load_encoder(tiny_folders(architecture)), depth=0)
    body.set_dropout(0.0)
    body.train(True)
    with torch.random.fork_rng():
        assert torch.equal(body(material.texts[:4]), body(material.texts[:4]))
    body.set_dropout(0.5)
    body.train(True)
    with torch.random.fork_rng():
        assert not torch.allclose(body(material.texts[:4]), body(material.texts[:4]), atol=1e-3)


def test_lora_trains_adapters_and_head_alone(material):
    method = LoRA(rank=4, layers=1)
    tunable = method.build(material)
    names = [name for name, p in tunable.body.named_parameters() if p.requires_grad]
    assert names
    assert all("lora_" in name and "layer.2." in name for name in names)
    shapes = {tuple(p.shape) for name, p in tunable.body.named_parameters() if "lora_A" in name}
    assert {shape[1] for shape in shapes} == {4}
    groups = tunable.parameter_groups()
    assert sum(p.numel() for group in groups for p in group["params"]) == tunable.finish().trainable_parameters


def test_lora_dropout_has_effect(material):
    losses = []
    for share in (0.0, 0.6):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            tunable = LoRA(lora_dropout=share, dropout=None).build(material)
        dropouts = [part for part in tunable.body.modules() if isinstance(part, RunDropout)]
        found = [part for part in dropouts if part.share_K == [0.6]]
        losses.append(len(found))
    assert losses[0] == 0
    assert losses[1] > 0


def test_batches_pass_over_all_rows_before_any_comes_again(material):
    tunable = TopLayers(batch_size=4, least_steps=9, epochs=0.1).build(material)
    made = list(tunable.batches(np.random.default_rng(0)))
    assert len(made) == TopLayers(batch_size=4, least_steps=9, epochs=0.1).total_steps(material) == 9
    flat = np.concatenate(made)
    assert sorted(flat[:18]) == sorted(flat[18:36]) == list(range(18))


def test_contrastive_batches_are_balanced_and_pair_every_class(material):
    tunable = Contrastive(batch_size=12, steps=20).build(material)
    made = list(tunable.batches(np.random.default_rng(0)))
    assert len(made) == Contrastive(batch_size=12, steps=20).total_steps(material)
    for rows in made:
        assert np.bincount(tunable.labels_N[rows]).tolist() == [4, 4, 4]
    seen = set(np.concatenate(made).tolist())
    assert seen == set(range(len(tunable.texts)))
