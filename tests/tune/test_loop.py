"""The loop around the step, on a toy whose every loss is known beforehand."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from fewtune.errors import TrainingDiverged
from fewtune.methods.base import Fitted, Material, Tunable, TunedMethod
from fewtune.methods.top_layers import TopLayers
from fewtune.testing.toys import toy_dataset
from fewtune.tune.course import MOST_RESEEDS, Watched
from fewtune.tune.loop import train


class Remembered(Fitted):
    def __init__(self, value, seed):
        self.value, self.seed = value, seed

    def predict_proba(self, texts):
        return np.full((len(texts), 2), 0.5)

    def save(self, folder):
        raise NotImplementedError


class ToyTunable(Tunable):
    """One weight that counts its steps; validation and training losses are read from the method's lists."""

    def __init__(self, method, material):
        self.method, self.material = method, material
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.noise = float(torch.rand(1))
        self.step, self.training = 0, None
        method.built.append(material)

    def parameter_groups(self):
        return [{"params": [self.weight], "lr": 1.0, "weight_decay": 0.0}]

    def batches(self, rng):
        for _ in range(self.method.total_steps(self.material)):
            yield rng.permutation(len(self.material.texts))[:2]

    def loss(self, indices):
        assert self.training, "training steps run with dropout on"
        wanted = self.method.losses[len(self.method.built) - 1]
        value = wanted[min(self.step, len(wanted) - 1)]
        self.step += 1
        return self.weight.sum() * 0 - self.weight.sum() * 1e-9 + value

    def evaluation_loss(self, texts, labels_N):
        assert not self.training, "losses are measured with dropout off"
        torch.rand(7)  # measuring may draw; the run must not notice
        self.method.measured.append((list(texts), self.step))
        return self.method.validation[min(len(self.method.measured) - 1, len(self.method.validation) - 1)]

    def chance_loss(self):
        return self.method.chance

    def state(self):
        return {"weight": self.weight.detach().clone(), "step": torch.tensor(self.step)}

    def load_state(self, state):
        with torch.no_grad():
            self.weight.copy_(state["weight"])
        self.step = int(state["step"])

    def train(self, mode):
        self.training = mode

    def finish(self):
        assert self.training is False
        return Remembered(self.step, self.material.seed)


@dataclass(frozen=True)
class Toy(TunedMethod):
    name: ClassVar[str] = "toy"
    title: ClassVar[str] = "Toy"
    rung: ClassVar[int] = 99

    steps: int = 24
    share: float = 0.0
    losses: tuple = ((0.5,),) * (MOST_RESEEDS + 1)
    validation: tuple = (1.0,)
    chance: float | None = None
    built: list = None  # type: ignore[assignment]
    measured: list = None  # type: ignore[assignment]

    def build(self, material):
        return ToyTunable(self, material)

    def total_steps(self, material):
        return self.steps

    def validation_share(self, material):
        return self.share

    @classmethod
    def load(cls, folder, classes, encoder):
        raise NotImplementedError


def toy(**settings):
    return Toy(**settings, built=[], measured=[])


MATERIAL = Material([f"text {n}" for n in range(20)], np.asarray([0, 1] * 10), ("a", "b"), None, seed=4)
HELD_OUT = Watched(["new one", "new two"], np.asarray([0, 1]))


def test_without_validation_the_steps_decide():
    method = toy()
    fitted = train(method, MATERIAL)
    assert fitted.value == 24
    log = fitted.log
    assert log.steps == list(range(1, 25))
    assert log.train_loss == [0.5] * 24
    assert (log.validation_on, log.best_step, log.reseeded, log.stopped_early) == (None, None, 0, False)
    assert method.measured == []


def test_the_best_checkpoint_is_kept():
    """Measured every second step: best at the third measurement, so the weights of step 6 come back."""
    method = toy(share=0.2, validation=(0.9, 0.8, 0.3, 0.4, 0.35, 0.31, 0.29), patience=9)
    fitted = train(method, MATERIAL)
    log = fitted.log
    assert log.validation_steps == list(range(2, 25, 2))
    assert log.validation_loss[:7] == [0.9, 0.8, 0.3, 0.4, 0.35, 0.31, 0.29]
    assert log.best_step == 14
    assert fitted.value == 14
    assert not log.stopped_early


def test_it_stops_when_nothing_gets_better():
    method = toy(share=0.2, validation=(0.9, 0.3, 0.4, 0.5, 0.1), patience=2)
    fitted = train(method, MATERIAL)
    assert fitted.log.stopped_early
    assert fitted.log.validation_steps == [2, 4, 6, 8]
    assert fitted.log.steps[-1] == 8
    assert fitted.log.best_step == fitted.value == 4


def test_equal_is_not_better_and_a_number_that_is_none_is_never_best():
    fitted = train(toy(share=0.2, validation=(float("nan"), 0.5, 0.5, 0.5), patience=2), MATERIAL)
    assert fitted.log.best_step == 4
    assert fitted.value == 4


def test_rows_set_aside_are_not_trained_on():
    method = toy(share=0.2, validation=(1.0, 0.5))
    train(method, MATERIAL, watch=HELD_OUT)
    (own, *_) = [texts for texts, _ in method.measured]
    assert len(own) == 4
    (trained,) = method.built
    assert set(own) | set(trained.texts) == set(MATERIAL.texts)
    assert not set(own) & set(trained.texts)
    assert sorted(trained.labels.tolist()) == [0] * 8 + [1] * 8


def test_a_group_is_not_split_by_setting_rows_aside():
    grouped = Material(MATERIAL.texts, MATERIAL.labels, ("a", "b"), None, groups=[str(n // 4) for n in range(20)])
    method = toy(share=0.2)
    train(method, grouped)
    own = {int(text.split()[1]) // 4 for text in method.measured[0][0]}
    kept = {int(group) for group in method.built[0].groups}
    assert own
    assert not own & kept


def test_where_no_group_can_be_spared_the_steps_decide():
    """Each class is one group: taking either away would leave a class without rows."""
    grouped = Material(MATERIAL.texts, MATERIAL.labels, ("a", "b"), None, groups=["x", "y"] * 10)
    method = toy(share=0.2)
    fitted = train(method, grouped)
    assert fitted.value == 24
    assert method.measured == []
    assert (fitted.log.validation_on, fitted.log.best_step) == (None, None)


def test_watched_rows_are_measured_and_decide_nothing():
    method = toy(validation=(0.1, 9.0), patience=1)
    fitted = train(method, MATERIAL, watch=HELD_OUT)
    assert fitted.value == 24
    assert fitted.log.validation_on == "held_out"
    assert fitted.log.validation_loss[:2] == [0.1, 9.0]
    assert {tuple(texts) for texts, _ in method.measured} == {("new one", "new two")}
    assert (fitted.log.best_step, fitted.log.stopped_early) == (None, False)


def test_with_rows_of_its_own_the_held_out_ones_are_left_alone():
    method = toy(share=0.2)
    fitted = train(method, MATERIAL, watch=HELD_OUT)
    assert fitted.log.validation_on == "own"
    assert all("new one" not in texts for texts, _ in method.measured)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_starts_again_with_another_seed(bad):
    method = toy(losses=((0.5, 0.4, bad), (0.5,)))
    fitted = train(method, MATERIAL)
    assert fitted.log.reseeded == 1
    assert len(fitted.log.steps) == 24
    assert len({material.seed for material in method.built}) == 2
    assert fitted.seed == method.built[1].seed


def test_a_loss_that_is_never_a_number_is_an_error_that_says_what_to_do():
    method = toy(losses=((float("nan"),),) * (MOST_RESEEDS + 1))
    with pytest.raises(TrainingDiverged, match=r"Toy.*not a finite number in 3 attempts.*rate"):
        train(method, MATERIAL)
    assert len(method.built) == MOST_RESEEDS + 1


def test_a_run_stuck_at_chance_starts_again_and_is_counted():
    stuck, learns = (0.69,), (0.69, 0.6, 0.3)
    method = toy(steps=60, losses=(stuck, stuck, learns), chance=0.69)
    fitted = train(method, MATERIAL)
    assert fitted.log.reseeded == 2
    assert fitted.value == 60


def test_the_last_attempt_is_kept_even_at_chance():
    """Labels may hold nothing to learn: that is a finding, not an error."""
    method = toy(steps=60, losses=((0.69,),) * 3, chance=0.69)
    fitted = train(method, MATERIAL)
    assert fitted.log.reseeded == MOST_RESEEDS
    assert fitted.value == 60


def test_a_run_that_learns_is_not_started_again():
    assert train(toy(steps=60, losses=((0.69, 0.5),), chance=0.69), MATERIAL).log.reseeded == 0
    assert train(toy(steps=60, losses=((0.69,),), chance=None), MATERIAL).log.reseeded == 0


def test_ticks_come_once_a_step_and_what_they_raise_passes_through():
    ticks = []
    train(toy(), MATERIAL, tick=lambda: ticks.append(1))
    assert len(ticks) == 24

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(toy(), MATERIAL, tick=stop)


def test_chance_is_drawn_from_the_runs_seed_alone():
    noise = []

    class Listening(ToyTunable):
        def finish(self):
            noise.append(self.noise)
            return super().finish()

    for outside, seed in ((1, 4), (2, 4), (2, 5)):
        method = toy()
        object.__setattr__(method, "build", lambda material, m=method: Listening(m, material))
        with torch.random.fork_rng():
            torch.manual_seed(outside)
            state = torch.random.get_rng_state()
            train(method, Material(MATERIAL.texts, MATERIAL.labels, ("a", "b"), None, seed=seed))
            assert torch.equal(torch.random.get_rng_state(), state)
    assert noise[0] == noise[1] != noise[2]


def test_watching_does_not_change_a_real_runs_weights_bit_for_bit(tiny_encoder):
    toys = toy_dataset(8)
    material = Material(toys.texts, np.asarray([0, 1, 2] * 8), toys.classes, tiny_encoder, seed=2)
    method = TopLayers(least_steps=10, epochs=0.1, dropout=0.3)
    new = toy_dataset(4, seed=9)
    plain = train(method, material)
    watched = train(method, material, watch=Watched(new.texts, np.asarray([0, 1, 2] * 4)))
    assert plain.log.train_loss == watched.log.train_loss
    for name, tensor in plain.body.trained().items():
        assert torch.equal(tensor, watched.body.trained()[name]), name
    np.testing.assert_array_equal(plain.head.weight_CD, watched.head.weight_CD)


def test_a_real_run_keeps_its_best_weights(tiny_encoder, monkeypatch):
    """The kept weights give the lowest validation loss that was measured."""
    toys = toy_dataset(20)
    material = Material(toys.texts, np.asarray([0, 1, 2] * 20), toys.classes, tiny_encoder, seed=1)
    method = TopLayers(least_steps=24, epochs=0.1, rate=3e-2, head_rate=3e-1)
    monkeypatch.setattr(TopLayers, "validation_share", lambda self, material: 0.2)
    kept = []
    inner = TopLayers.build
    monkeypatch.setattr(TopLayers, "build", lambda self, m: kept.append(inner(self, m)) or kept[-1])
    fitted = train(method, material)
    own = [row for row, text in enumerate(material.texts) if text not in set(kept[-1].material.texts)]
    kept[-1].train(False)
    loss = kept[-1].evaluation_loss([material.texts[row] for row in own], material.labels[own])
    assert loss == pytest.approx(min(fitted.log.validation_loss), rel=1e-5)
    assert fitted.log.best_step == fitted.log.validation_steps[int(np.argmin(fitted.log.validation_loss))]
