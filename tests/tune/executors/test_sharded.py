"""A model's weights shared out: a team of one process, which takes every path that several take (two: `slow` below)."""

import dataclasses
import os

import numpy as np
import pytest
import torch

from fewtune.backbones import team as teams
from fewtune.backbones.language.load import load_language_model
from fewtune.backbones.team import MEETING, join, leave
from fewtune.errors import TeamLost, UsageError
from fewtune.methods.generation.bitfit import BitFitWriter
from fewtune.methods.generation.full import FullWriter
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.prompt_tuning import PromptTuningWriter
from fewtune.methods.generation.qlora import QLoRAWriter
from fewtune.methods.generation.zero_shot import ZeroShotPrompt
from fewtune.recipe import Recipe
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.toys import toy_dataset
from fewtune.testing.writer_toys import writer_toys
from fewtune.tune import checkpoint
from fewtune.tune.executors import followers, sharded
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.executors.sharded import ShardedExecutor
from fewtune.tune.run import Context, Run
from fewtune.tune.thrift import Thrift
from fewtune.writer_folder import WritingModel, load_writer, save_writer

TRAIN, TEST = np.arange(12), np.arange(12, 16)
SHORT = {"epochs": 1, "least_steps": 5, "batch_size": 5, "rate": 1e-2}
METHODS = [ZeroShotPrompt(), LoRAWriter(**SHORT), FullWriter(**SHORT), PromptTuningWriter(tokens=4, **SHORT)]


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {
        name: str(make_tiny_writer(tmp_path_factory.mktemp("writers") / name, name)) for name in ("llama", "gpt2", "t5")
    }


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A team of this process alone."""
    about = {"RANK": "0", "WORLD_SIZE": "1", MEETING: str(tmp_path_factory.mktemp("meeting") / "file")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in about.items():
            patch.setenv(name, value)
        yield join()
    leave()


def context(folder, team=None, **more):
    models = {folder: load_language_model(folder, precision="float32", team=team)}
    return Context(writer_toys(), {}, language_models=models, **more)


def run_of(method, folder, **more):
    return Run(Recipe(method, folder), TRAIN, TEST, 3, watch=True, **more)


def only(executor, run, about, tick=None):
    return next(iter(executor.execute([run], about, tick=tick)))[1]


def assert_alike(found, wanted):
    """The losses of every step, and what the held-out rows cost, to float32's rounding."""
    if wanted.log is not None:
        np.testing.assert_allclose(found.log.train_loss, wanted.log.train_loss, atol=1e-5)
        np.testing.assert_allclose(found.log.validation_loss, wanted.log.validation_loss, atol=1e-5)
    np.testing.assert_allclose(found.written.nll, wanted.written.nll, rtol=1e-5)
    assert found.written.texts == wanted.written.texts
    assert found.trainable_parameters == wanted.trainable_parameters


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_losses_and_texts_are_those_of_a_model_that_is_whole(one, folders, method):
    run = run_of(method, folders["llama"], write=isinstance(method, LoRAWriter))
    wanted = only(SerialExecutor(), run, context(folders["llama"]))
    assert_alike(only(ShardedExecutor(one), run, context(folders["llama"], one)), wanted)


STILL = {"dropout": 0.0, **SHORT}  # padded and packed models draw their dropout differently


@pytest.mark.parametrize(("name", "method"), [("t5", FullWriter(**STILL)), ("gpt2", BitFitWriter(**STILL))])
def test_other_architectures(one, folders, name, method):
    run = run_of(method, folders[name], write=name == "t5")
    wanted = only(SerialExecutor(), run, context(folders[name]))
    assert_alike(only(ShardedExecutor(one), run, context(folders[name], one)), wanted)


@pytest.mark.parametrize("method", METHODS[1:], ids=lambda method: method.name)
def test_what_is_saved_is_whole_and_opens_as_any_other(one, folders, tmp_path, method):
    about = context(folders["llama"], one)
    run = Run(Recipe(method, folders["llama"]), TRAIN, TEST[:0], 3)
    fitted = ShardedExecutor(one).fit(run, about)
    rows = about.examples(TEST)
    save_writer(WritingModel(fitted, run.recipe), tmp_path / "model")
    opened = load_writer(tmp_path / "model")
    np.testing.assert_allclose(opened.costs(rows).nll, fitted.costs(rows).nll, rtol=1e-4)
    base = about.language_models[folders["llama"]].model
    assert all(type(tensor) is torch.nn.Parameter for tensor in base.parameters()), "the opened model stays as it was"
    before = ZeroShotPrompt().fit(context(folders["llama"]).material(run))
    np.testing.assert_allclose(fitted.untuned().costs(rows).nll, before.costs(rows).nll, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS[1:3], ids=lambda method: method.name)
def test_an_interrupted_run_goes_on_with_the_same_losses(one, folders, tmp_path, monkeypatch, method):
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    run = run_of(method, folders["llama"])
    whole = only(ShardedExecutor(one), run, context(folders["llama"], one))
    about = context(folders["llama"], one, partial=tmp_path)
    with pytest.raises(Killed):
        only(ShardedExecutor(one), run, about, tick=killed_after(3))
    assert list(tmp_path.iterdir()), "the file is there"
    taken = []
    resumed = only(ShardedExecutor(one), run, about, tick=lambda: taken.append(1))
    assert len(taken) == len(whole.log.steps) - 3
    assert resumed.log == whole.log
    np.testing.assert_array_equal(resumed.written.nll, whole.written.nll)
    assert not list(tmp_path.iterdir())


def test_what_a_tick_raises_leaves_the_others_listening(one, folders):
    about = context(folders["llama"], one)
    with pytest.raises(Killed):
        only(ShardedExecutor(one), run_of(LoRAWriter(**SHORT), folders["llama"]), about, tick=killed_after(2))
    assert not one.under_way


def test_an_error_nobody_foresaw_does_not(one, folders, monkeypatch):
    def broken(*_, **__):
        raise AssertionError("a mistake of ours")

    monkeypatch.setattr(sharded.runs, "carry_out", broken)
    with pytest.raises(AssertionError):
        only(ShardedExecutor(one), run_of(LoRAWriter(**SHORT), folders["llama"]), context(folders["llama"], one))
    assert one.under_way == ["carry_out"], "they are not told to end: they could not hear"
    one.under_way.clear()


def killed_after(steps):
    left = iter(range(steps - 1))

    def tick():
        if next(left, None) is None:
            raise Killed

    return tick


def test_what_began_whole_goes_on_shared_out(one, folders, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    run = run_of(LoRAWriter(**SHORT), folders["llama"])
    whole = only(SerialExecutor(), run, context(folders["llama"]))
    with pytest.raises(Killed):
        only(SerialExecutor(), run, context(folders["llama"], partial=tmp_path), tick=killed_after(2))
    assert_alike(only(ShardedExecutor(one), run, context(folders["llama"], one, partial=tmp_path)), whole)


def test_thrift_changes_nothing_there_either(one, folders):
    run = run_of(LoRAWriter(**SHORT), folders["llama"])
    wanted = only(ShardedExecutor(one), run, context(folders["llama"], one))
    thrifty = context(folders["llama"], one, thrift=Thrift(micro_batch=2, checkpointing=True))
    assert_alike(only(ShardedExecutor(one), run, thrifty), wanted)


def test_half_precision_keeps_what_moves_in_full(one, folders, monkeypatch):
    from fewtune.backbones import precision
    from fewtune.backbones.language import sharded as shares

    for module in (precision, shares):
        monkeypatch.setattr(module, "detect", lambda: "bf16")
    about = context(folders["llama"], one)
    about.language_models[folders["llama"]].model.to(torch.bfloat16)
    fitted = ShardedExecutor(one).fit(run_of(FullWriter(**SHORT), folders["llama"]), about)
    moving = fitted.fitted.model.moving
    assert {tensor.dtype for tensor in moving.values()} == {torch.float32}
    assert np.isfinite(fitted.log.train_loss).all()
    assert fitted.log.train_loss[-1] < fitted.log.train_loss[0]


def test_memory_that_runs_out_in_step_is_said_and_not_tried_again(one, folders, monkeypatch):
    from fewtune.backbones.language.whole import Whole
    from fewtune.errors import OutOfMemory

    def full(self, rows):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Whole, "costs", full)
    with pytest.raises(OutOfMemory, match="--micro-batch"):
        only(ShardedExecutor(one), run_of(LoRAWriter(**SHORT), folders["llama"]), context(folders["llama"], one))
    one.under_way.clear()


def test_what_several_processes_cannot_do_is_said(one, folders, tiny_encoder):
    with pytest.raises(UsageError, match="take lora"):
        only(ShardedExecutor(one), run_of(QLoRAWriter(**SHORT), folders["llama"]), context(folders["llama"], one))
    with pytest.raises(UsageError, match="Encoders are small"):
        ShardedExecutor(one).fit(run_of(LoRAWriter(), "x"), Context(toy_dataset(4), {"x": tiny_encoder}))
    with pytest.raises(UsageError, match="leave out --processes 3"):
        followers.gather(3)
    assert followers.gather(None) is one


def test_a_gpu_for_each(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="2 processes on this machine need a GPU each, and there is 1"):
        teams._take_gpu(1, 2)


def test_errors_that_mean_that_another_is_gone():
    assert teams.lost(RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer [127.0.0.1]:1"))
    assert not teams.lost(RuntimeError("shapes do not fit"))
    assert not teams.lost(ValueError("Connection closed by peer"))
    with pytest.raises(TeamLost, match="Another process"), sharded._told():
        raise RuntimeError("Connection reset by peer")
    with pytest.raises(RuntimeError, match="shapes"), sharded._told():
        raise RuntimeError("shapes do not fit")


def test_turns_are_as_many_for_all():
    from fewtune.backbones.language.sharded import turns

    for parts in (1, 2, 5, 6):
        for size in (1, 2, 4):
            shares = [list(turns(range(parts), dataclasses.replace(Sizes(), rank=r, size=size))) for r in range(size)]
            assert len({len(share) for share in shares}) == 1
            counted = sorted(part for share in shares for part, counts in share if counts)
            assert counted == list(range(parts))


@dataclasses.dataclass(frozen=True)
class Sizes:
    rank: int = 0
    size: int = 1


def test_only_torchruns_own_environment_calls(monkeypatch):
    for name in (MEETING, "TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert not teams.called()
    for name in ("RANK", "WORLD_SIZE"):  # as batch systems set them for programs of any kind
        monkeypatch.setitem(os.environ, name, "1")
    assert not teams.called()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert teams.called()
