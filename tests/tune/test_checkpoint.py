"""An interrupted run goes on as if nothing had happened: the same losses, the same weights."""

import dataclasses

import numpy as np
import pytest
import torch

from fewtune.methods.base import Material
from fewtune.methods.contrastive import Contrastive
from fewtune.methods.lora import LoRA
from fewtune.methods.prompt_tuning import PromptTuning
from fewtune.methods.top_layers import TopLayers
from fewtune.testing.toys import toy_dataset
from fewtune.tune import checkpoint
from fewtune.tune.course import Watched
from fewtune.tune.loop import train


class Killed(Exception):
    pass


@pytest.fixture
def material(tiny_encoder):
    toys = toy_dataset(8)
    return Material(toys.texts, np.asarray([0, 1, 2] * 8), toys.classes, tiny_encoder, seed=4)


@pytest.fixture(autouse=True)
def written_after_every_step(monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)


def killed_after(steps):
    count = 0

    def tick():
        nonlocal count
        count += 1
        if count == steps:
            raise Killed

    return tick


METHODS = [
    LoRA(least_steps=12, epochs=0.1),
    TopLayers(least_steps=12, epochs=0.1, dropout=0.2),
    Contrastive(steps=12),
    PromptTuning(least_steps=12, epochs=0.1, tokens=5),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("steps", [1, 7, 11])
def test_a_resumed_run_is_the_uninterrupted_one(material, method, steps, tmp_path):
    path = tmp_path / "partial" / "run.safetensors"
    watch = Watched(material.texts[:5], material.labels[:5])
    whole = train(method, material, watch=watch)
    with pytest.raises(Killed):
        train(method, material, watch=watch, tick=killed_after(steps), checkpoint=path)
    assert path.exists()
    taken = []
    resumed = train(method, material, watch=watch, tick=lambda: taken.append(1), checkpoint=path)
    assert len(taken) == len(whole.log.steps) - steps, "no step is taken twice"
    assert resumed.log == whole.log
    np.testing.assert_array_equal(resumed.predict_proba(material.texts), whole.predict_proba(material.texts))
    assert not path.exists(), "nothing is left behind"


def test_the_best_weights_and_the_waiting_survive(material, tmp_path, monkeypatch):
    monkeypatch.setattr("fewtune.methods.cross_entropy.ROWS_TO_SPARE", 4)
    method = LoRA(least_steps=30, epochs=0.1, rate=3e-2, patience=2)
    whole = train(method, material)
    assert whole.log.stopped_early
    for steps in range(3, len(whole.log.steps), 4):
        path = tmp_path / f"{steps}.safetensors"
        with pytest.raises(Killed):
            train(method, material, tick=killed_after(steps), checkpoint=path)
        assert train(method, material, checkpoint=path).log == whole.log


def test_a_second_attempt_is_resumed_as_the_second(material, tmp_path, monkeypatch):
    monkeypatch.setattr("fewtune.tune.course.CHANCE_MARGIN", 0.0)  # nothing is ever good enough
    method = LoRA(least_steps=30, epochs=0.1)
    whole = train(method, material)
    assert whole.log.reseeded == 2
    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        train(method, material, tick=killed_after(20), checkpoint=path)
    taken = []
    resumed = train(method, material, tick=lambda: taken.append(1), checkpoint=path)
    assert resumed.log == whole.log
    assert len(taken) < 20 + len(whole.log.steps)


@pytest.mark.parametrize("harm", ["empty", "cut", "garbage"])
def test_a_damaged_file_is_begun_anew(material, tmp_path, harm):
    path = tmp_path / "run.safetensors"
    method = LoRA(least_steps=8, epochs=0.1)
    whole = train(method, material)
    with pytest.raises(Killed):
        train(method, material, tick=killed_after(4), checkpoint=path)
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "garbage": b"x" * 200}[harm])
    assert train(method, material, checkpoint=path).log == whole.log


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(material, tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "written_whole", full)
    method = LoRA(least_steps=6, epochs=0.1)
    assert train(method, material, checkpoint=tmp_path / "x").log == train(method, material).log


def test_a_short_run_writes_nothing(material, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 60.0)
    seen = []
    method = dataclasses.replace(METHODS[0])
    train(method, material, tick=lambda: seen.append((tmp_path / "x").exists()), checkpoint=tmp_path / "x")
    assert not any(seen)


def test_an_architecture_that_draws_from_torchs_own_stream(tiny_folders, tmp_path):
    """DeBERTa cannot be packed: its dropout comes from torch's generator, which is put back too."""
    from fewtune.backbones.load import load_encoder

    toys = toy_dataset(4)
    encoder = load_encoder(tiny_folders("deberta"))
    material = Material(toys.texts, np.asarray([0, 1, 2] * 4), toys.classes, encoder, seed=1)
    method = TopLayers(least_steps=8, epochs=0.1)
    whole = train(method, material)
    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed), torch.random.fork_rng():
        train(method, material, tick=killed_after(5), checkpoint=path)
    assert train(method, material, checkpoint=path).log == whole.log
