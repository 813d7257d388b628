"""A loss that is no number: training stops, says where, and keeps the last weights that gave one."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fewtune.backbones.language.load import load_language_model
from fewtune.data.splits import Split
from fewtune.errors import BackboneDamaged, TrainingDiverged
from fewtune.methods.base import Material, TrainingLog
from fewtune.methods.generation.few_shot import FewShotPrompt
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.moving import PackedMoving
from fewtune.methods.generation.zero_shot import ZeroShotPrompt
from fewtune.recipe import Recipe
from fewtune.study.evaluator import Evaluator
from fewtune.study.ladder import climb
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys
from fewtune.tune.course import MOST_RESEEDS, LastGood
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.loop import train
from fewtune.tune.run import Context

ROWS = writer_toys().examples[:12]
STEPS = 24
METHOD = LoRAWriter(rate=1e-2, least_steps=STEPS, most_steps=STEPS, batch_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_writer(tmp_path_factory.mktemp("writers") / "llama", "llama")


@pytest.fixture(scope="module")
def model(folder):
    return load_language_model(folder, precision="float32")


def material(model):
    about = {"examples": list(ROWS), "language_model": model, "template": model.settle()}
    return Material(
        [row.prompt for row in ROWS], np.zeros(12, dtype=np.int64), classes=(), encoder=None, seed=3, **about
    )


def break_after(monkeypatch, steps):
    """Every attempt's loss is no number once so many steps were taken; the weights of each step, by attempt."""
    made, seen = PackedMoving.costs, {}

    def costs(moving, rows):
        found = made(moving, rows)
        if not torch.is_grad_enabled():
            return found
        states = seen.setdefault(id(moving), [])
        states.append(moving.trained())
        return found if len(states) <= steps else found * math.nan

    monkeypatch.setattr(PackedMoving, "costs", costs)
    return seen


def test_it_stops_there_says_so_and_keeps_the_last_good_weights(model, monkeypatch):
    seen = break_after(monkeypatch, 9)
    fitted = train(METHOD, material(model))
    assert len(seen) == MOST_RESEEDS + 1, "other seeds are tried first"
    assert fitted.notes == (
        "The loss of step 10 of 24 was not a finite number, and training stopped there. "
        "The weights of step 8, the last good ones, were kept. Lower the rate.",
    )
    assert fitted.log.best_step == 8
    states = list(seen.values())[-1]
    for name, tensor in fitted.model.trained().items():
        torch.testing.assert_close(tensor, states[8][name], rtol=0, atol=0)
    assert np.isfinite(fitted.costs(list(ROWS)).nll).all()


def test_weights_that_gave_no_number_are_not_good(model, monkeypatch):
    """The weights after step 8 are kept when step 9 has shown them to be good, and step 9 shows the contrary."""
    break_after(monkeypatch, 8)
    assert train(METHOD, material(model)).log.best_step == 6


def test_with_rows_set_aside_the_best_measured_are_kept(model, monkeypatch):
    monkeypatch.setattr("fewtune.methods.generation.tuned.ROWS_TO_SPARE", 4)
    break_after(monkeypatch, 9)
    fitted = train(replace(METHOD, spare=0.1), material(model))
    losses = dict(zip(fitted.log.validation_steps, fitted.log.validation_loss, strict=True))
    assert fitted.log.best_step == min(losses, key=losses.get)
    assert "was not a finite number" in fitted.notes[0]


def test_without_a_good_step_the_run_has_failed(model, monkeypatch):
    break_after(monkeypatch, 1)
    with pytest.raises(TrainingDiverged, match=r"in 3 attempts\. Lower its rate"):
        train(METHOD, material(model))


def test_last_good_remembers_one():
    class Counted:
        def __init__(self):
            self.asked, self.put = 0, None

        def state(self):
            self.asked += 1
            return {"at": torch.tensor(self.asked)}

        def load_state(self, state):
            self.put = int(state["at"])

    counted, log = Counted(), TrainingLog()
    good = LastGood(counted)
    assert not good.restore(log)
    for step in range(1, 8):
        good.see(step, due=step % 3 == 0)
    assert good.restore(log)
    assert (log.best_step, counted.put) == (6, 2)


def test_a_backbone_without_numbers_is_named_before_anything_is_tuned(folder):
    broken = load_language_model(folder, precision="float32")
    broken.model.get_submodule("model.layers.1.mlp.down_proj").weight.data.fill_(math.nan)
    context = Context(writer_toys(), {}, language_models={"broken": broken})
    rows = np.arange(16)
    splits = [Split(0, 0, rows[8:], rows[:8]), Split(0, 1, rows[:8], rows[8:])]
    evaluator = Evaluator(context, splits, executor=SerialExecutor())
    recipes = [Recipe(ZeroShotPrompt(), "broken"), Recipe(FewShotPrompt(), "broken")]
    with pytest.raises(BackboneDamaged, match="broken gives a loss that is no finite number before anything is tuned"):
        climb(evaluator, recipes)
