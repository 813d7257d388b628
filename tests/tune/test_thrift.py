"""Steps that are made to fit memory: the same losses, the same weights, whatever is saved and however."""

import logging

import numpy as np
import pytest
import torch

from fewtune import TextGenerator
from fewtune.backbones.checkpointing import checkpoint_layers
from fewtune.backbones.language.demand import demand
from fewtune.backbones.language.load import load_language_model
from fewtune.errors import OutOfMemory, UsageError
from fewtune.methods.base import Material, Watched
from fewtune.methods.generation.full import FullWriter
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.prefix_tuning import PrefixTuningWriter
from fewtune.methods.generation.prompt_tuning import PromptTuningWriter
from fewtune.methods.generation.top_layers import TopLayersWriter
from fewtune.study.settings import Settings
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys
from fewtune.tune import saver
from fewtune.tune.loop import train
from fewtune.tune.memory import Plan, plan_of
from fewtune.tune.thrift import Thrift

ROWS = writer_toys().examples[:12]
SHORT = {"rate": 1e-2, "epochs": 1, "least_steps": 4, "batch_size": 5}
METHODS = [
    LoRAWriter(dropout=0.2, lora_dropout=0.1, **SHORT),
    FullWriter(dropout=0.1, neftune=5.0, **SHORT),
    TopLayersWriter(layers=1, dropout=0.2, **SHORT),
    PromptTuningWriter(tokens=4, **SHORT),
    PrefixTuningWriter(tokens=4, **SHORT),
]
AGAIN = Thrift(checkpointing=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def model(name):
        if name not in made:
            folder = make_tiny_writer(tmp_path_factory.mktemp("writers") / name, name)
            made[name] = load_language_model(folder, precision="float32")
        return made[name]

    return model


def material(model):
    about = {"examples": list(ROWS), "language_model": model, "template": model.settle()}
    labels = np.zeros(len(ROWS), dtype=np.int64)
    return Material([row.prompt for row in ROWS], labels, classes=(), encoder=None, seed=3, **about)


def losses(method, model, thrift=None):
    watch = Watched((), np.zeros(3, dtype=np.int64), list(ROWS[:3]))
    log = train(method, material(model), watch=watch, thrift=thrift).log
    return log.train_loss, log.validation_loss


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_layers_computed_again_give_the_same_losses_with_the_same_noise(models, method):
    model = models("llama")
    for found, wanted in zip(losses(method, model, AGAIN), losses(method, model), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_of_other_architectures(models, name):
    method = LoRAWriter(**SHORT)  # with the dropout that these models have of their own
    for found, wanted in zip(losses(method, models(name), AGAIN), losses(method, models(name)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_micro_batches_give_the_batchs_loss_and_no_mean_of_means(models, rows):
    """Rows of very different lengths: a mean over rows, or over micro-batches, would be another number."""
    method, model = LoRAWriter(dropout=0.0, **SHORT), models("llama")
    for found, wanted in zip(losses(method, model, Thrift(micro_batch=rows)), losses(method, model), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_loss_is_the_mean_over_the_batchs_tokens(models):
    tunable = LoRAWriter(**SHORT).build(material(models("llama")))
    tunable.train(False)
    batch = np.asarray([0, 5, 7])
    costs = [float(tunable.model.costs(tunable.rows[row]).sum().detach()) for row in batch]
    tokens = [sum(window.counted_tokens for window in tunable.rows[row]) for row in batch]
    loss = float(tunable.loss(batch).detach())
    assert loss == pytest.approx(sum(costs) / sum(tokens), rel=1e-5)
    shares = [float(tunable.share(np.asarray([row]), batch).detach()) for row in batch]
    assert sum(shares) == pytest.approx(loss, rel=1e-5)


def held(method, model, again):
    """Bytes that autograd keeps for the way back, once each."""
    tunable = method.build(material(model))
    tunable.train(True)
    if again:
        assert tunable.compute_again()
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        tunable.loss(np.arange(8))
    return sum(kept.values())


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_less_is_held(models, name):
    method = LoRAWriter(**SHORT)
    assert held(method, models(name), again=True) < 0.75 * held(method, models(name), again=False)


def test_a_learned_prefix_would_be_lost_and_so_is_refused_with_a_note(models):
    model, method = models("t5"), PrefixTuningWriter(tokens=4, **SHORT)
    assert not method.build(material(model)).compute_again()
    fitted = train(method, material(model), thrift=AGAIN)
    assert fitted.notes == (saver.CANNOT,)
    np.testing.assert_allclose(fitted.log.train_loss, losses(method, model)[0])


def test_a_model_that_knows_no_such_thing():
    assert not checkpoint_layers(torch.nn.Linear(2, 2))


class Small:
    """Memory for so many rows at a time, while gradients are kept; more once layers are computed again."""

    def __init__(self, most, most_again):
        self.most, self.most_again, self.again = most, most_again, False

    def patch(self, monkeypatch):
        from fewtune.methods.generation.moving import PackedMoving

        made, asked = PackedMoving.costs, PackedMoving.compute_again

        def costs(moving, rows):
            if torch.is_grad_enabled() and len(rows) > (self.most_again if self.again else self.most):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return made(moving, rows)

        def compute_again(moving):
            self.again = True
            return asked(moving)

        monkeypatch.setattr(PackedMoving, "costs", costs)
        monkeypatch.setattr(PackedMoving, "compute_again", compute_again)


@pytest.mark.parametrize(("most", "again"), [(3, 0), (0, 1)])
def test_memory_that_runs_out_costs_steps_and_no_result(models, monkeypatch, caplog, most, again):
    method = LoRAWriter(dropout=0.0, **SHORT)
    wanted = losses(method, models("llama"))[0]
    Small(most, again).patch(monkeypatch)
    with caplog.at_level(logging.WARNING):
        fitted = train(method, material(models("llama")))
    np.testing.assert_allclose(fitted.log.train_loss, wanted, atol=1e-5)
    assert [record.message for record in caplog.records] == list(fitted.notes), "said, and kept for the report"
    assert len(fitted.notes) == len(set(fitted.notes)) == 1 + (most == 0)
    assert "rows are worked on fewer at a time" in " ".join(fitted.notes)


@pytest.mark.parametrize("thrift", [Thrift(), Thrift(checkpointing=False)])
def test_when_nothing_helps_it_is_said(models, monkeypatch, thrift):
    small = Small(0, 0)
    small.patch(monkeypatch)
    with pytest.raises(OutOfMemory, match="single row"):
        train(LoRAWriter(**SHORT), material(models("llama")), thrift=thrift)
    assert small.again is (thrift.checkpointing is None), "and a person's no is no"


def test_the_plan_takes_fewer_rows_first_and_computes_again_last(models):
    tunable = LoRAWriter(**SHORT).build(material(models("llama")))
    whole, single = (tunable.demand(rows, again=False) for rows in (8, 1))
    assert tunable.demand(1, again=True) < single < whole
    assert plan_of(tunable, 8, room=whole) == Plan(8, False)
    assert plan_of(tunable, 8, room=single) == Plan(1, False)
    assert plan_of(tunable, 8, room=single - 1).again
    assert plan_of(tunable, 8, room=1) == Plan(1, True), "it is tried all the same"
    assert plan_of(tunable, 8, again=True, room=whole) == Plan(8, True)
    assert plan_of(tunable, 8) is None, "a CPU's free memory decides nothing"


def test_what_is_planned_is_done_and_said(models, monkeypatch):
    monkeypatch.setattr(saver, "plan_of", lambda *_, **__: Plan(2, True))
    method = LoRAWriter(dropout=0.0, **SHORT)
    fitted = train(method, material(models("llama")))
    assert fitted.notes == (saver.AGAIN, saver.FEWER.format(2, 5))
    monkeypatch.undo()
    np.testing.assert_allclose(fitted.log.train_loss, losses(method, models("llama"))[0], atol=1e-5)


def test_demand_grows_with_tokens_and_layers(models):
    model = models("llama")
    rows = [window for row in ROWS[:4] for window in model.encode_all([row], model.settle())]
    assert demand(model, rows[:2], again=False) < demand(model, rows, again=False)
    assert demand(model, rows, again=True) < demand(model, rows, again=False)


def test_what_a_person_may_say():
    with pytest.raises(UsageError, match="1 row or more"):
        Thrift(micro_batch=0)
    with pytest.raises(UsageError, match="models that write"):
        Settings(thrift=Thrift(micro_batch=2))
    with pytest.raises(UsageError, match="leave out --executor"):
        Settings(task="generation", processes=2, executor="serial")
    with pytest.raises(UsageError, match="whole number"):
        Settings(task="generation", processes=0)


def test_a_study_hands_thrift_on_and_shows_what_was_done(models, monkeypatch, caplog):
    seen = []

    class Spied(saver.Saver):
        def __post_init__(self):
            seen.append(self.thrift)
            super().__post_init__()

    monkeypatch.setattr("fewtune.tune.loop.Saver", Spied)
    monkeypatch.setattr(saver, "plan_of", lambda *_, **__: Plan(2, False))
    options = {"methods": ["lora"], "changes": ["lora.epochs=1"], "folds": 2, "repeats": 1, "executor": "serial"}
    folder = str(models("llama").folder)
    prompts, completions = zip(*((row.prompt, row.completion) for row in ROWS[:8]), strict=True)
    with caplog.at_level(logging.WARNING):
        found = TextGenerator(folder, gradient_checkpointing=False, **options).fit(prompts, completions)
    assert set(seen) == {Thrift(checkpointing=False)}
    assert len(seen) > 2, "each run"
    rung = next(one for one in found.ladder_ if one["name"] == "lora")
    assert any(note.startswith(saver.FEWER.format(2, 8)) for note in rung["notes"])
    assert sum(record.message == saver.FEWER.format(2, 8) for record in caplog.records) == 1, "said once"
