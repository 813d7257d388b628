"""Two processes on a CPU share a model: started by fewtune and by torchrun. Slow: each loads torch anew."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from fewtune import TextGenerator
from fewtune.backbones.language.load import load_language_model
from fewtune.errors import TeamLost
from fewtune.methods.generation.full import FullWriter
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.recipe import Recipe
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys
from fewtune.tune import checkpoint
from fewtune.tune.executors import followers
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.executors.sharded import ShardedExecutor
from fewtune.tune.run import Context, Run
from fewtune.tune.thrift import Thrift

pytestmark = pytest.mark.slow
SHORT = {"epochs": 1, "least_steps": 6, "batch_size": 5, "rate": 1e-2}
OPTIONS = "--method lora --folds 2 --repeats 1 --budget none --set lora.epochs=1 --quiet"
SECONDS = 900


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(make_tiny_writer(tmp_path_factory.mktemp("writers") / "llama", "llama"))


@pytest.fixture(scope="module")
def two():
    yield followers.gather(2)
    followers.part()


def context(folder, team=None, **more):
    models = {folder: load_language_model(folder, precision="float32", team=team)}
    return Context(writer_toys(), {}, language_models=models, **more)


def run_of(method, folder):
    return Run(Recipe(method, folder), np.arange(11), np.arange(11, 16), 3, watch=True, write=True)


def only(executor, run, about, tick=None):
    return next(iter(executor.execute([run], about, tick=tick)))[1]


def assert_alike(found, wanted):
    np.testing.assert_allclose(found.log.train_loss, wanted.log.train_loss, atol=1e-5)
    np.testing.assert_allclose(found.log.validation_loss, wanted.log.validation_loss, atol=1e-5)
    np.testing.assert_allclose(found.written.nll, wanted.written.nll, rtol=1e-5)
    assert found.written.texts == wanted.written.texts


@pytest.mark.parametrize("method", [LoRAWriter(**SHORT), FullWriter(**SHORT)], ids=lambda method: method.name)
@pytest.mark.parametrize("thrift", [Thrift(), Thrift(1, True), Thrift(2)], ids=str)
def test_two_lose_what_one_loses(two, folder, method, thrift):
    run = run_of(method, folder)
    wanted = only(SerialExecutor(), run, context(folder))
    assert_alike(only(ShardedExecutor(two), run, context(folder, two, thrift=thrift)), wanted)


@pytest.mark.parametrize("method", [LoRAWriter(**SHORT), FullWriter(**SHORT)], ids=lambda method: method.name)
@pytest.mark.parametrize("began", ["one", "two"])
def test_two_go_on_from_a_checkpoint(two, folder, method, began, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    run, left = run_of(method, folder), iter(range(3))

    def tick():
        if next(left, None) is None:
            raise Killed

    wanted = only(SerialExecutor(), run, context(folder))
    about = context(folder, two if began == "two" else None, partial=tmp_path)
    with pytest.raises(Killed):
        only(ShardedExecutor(two) if began == "two" else SerialExecutor(), run, about, tick)
    assert len(list(tmp_path.iterdir())) == 1
    taken = []
    resumed = only(ShardedExecutor(two), run, context(folder, two, partial=tmp_path), lambda: taken.append(1))
    assert len(taken) == len(wanted.log.steps) - 4
    assert_alike(resumed, wanted)
    assert not list(tmp_path.iterdir())


def test_a_model_folder_that_the_other_cannot_open_is_said(two, folder):
    about = context(folder, two)
    about.language_models["no/such/model"] = about.language_models[folder]
    with pytest.raises(TeamLost, match="Process 1 of 2: "):
        only(ShardedExecutor(two), run_of(LoRAWriter(**SHORT), folder), about)
    assert [process.wait() for process in followers._started] == [1]
    followers.part()


def test_one_that_was_killed_is_missed(folder):
    team = followers.gather(2)
    about = context(folder, team)
    only(ShardedExecutor(team), run_of(LoRAWriter(**SHORT), folder), about)
    followers._started[0].kill()
    followers._started[0].wait()
    try:
        with pytest.raises(TeamLost, match="Another process of this run has ended"):
            only(ShardedExecutor(team), run_of(LoRAWriter(**SHORT), folder), about)
    finally:
        followers.part()


def test_from_python(folder, tmp_path):
    rows = [(row.prompt, row.completion) for row in writer_toys()]
    prompts, completions = zip(*rows, strict=True)
    options = {"methods": ["lora"], "changes": ["lora.epochs=1"], "folds": 2, "repeats": 1}
    one = TextGenerator(folder, **options).fit(prompts, completions)
    two = TextGenerator(folder, processes=2, **options).fit(prompts, completions)
    try:
        assert two.predict(prompts[:2]) == one.predict(prompts[:2])
        assert two.score(prompts, completions) == pytest.approx(one.score(prompts, completions), rel=1e-4)
        two.save(tmp_path / "model")
        assert (tmp_path / "model" / "fewtune.json").exists()
    finally:
        followers.part()


def command(*words):
    """Run, and give what was said; a process that hangs fails the test in the end."""
    about = {"FEWTUNE_PRECISION": "float32", "FEWTUNE_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *words], env=os.environ | about, capture_output=True, text=True, timeout=SECONDS
    )


TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "fewtune"]


@pytest.fixture
def rows(tmp_path):
    lines = [json.dumps({"prompt": row.prompt, "completion": row.completion}) for row in writer_toys()]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return str(tmp_path / "rows.jsonl")


def test_the_command_gives_the_result_that_one_process_gives(folder, rows, tmp_path):
    found = {}
    ways = {"one": ["fewtune"], "two": ["fewtune"], "torchrun": TORCHRUN}
    for name, started in ways.items():
        words = ["fit", rows, "--backbone", folder, *OPTIONS.split(), "--out", str(tmp_path / name)]
        done = command(*started, *words, *(["--processes", "2"] if name == "two" else []))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Model: ") == 1, "one of them prints"
        assert "Traceback" not in done.stderr
        result = json.loads((tmp_path / name / "result.json").read_text(encoding="utf-8"))
        found[name] = [rung["cv"]["bits_per_byte"]["mean"] for rung in result["ladder"]]
        assert (tmp_path / name / "model" / "adapter" / "adapter_model.safetensors").exists() or name == "one"
    for name in ("two", "torchrun"):
        np.testing.assert_allclose(found[name], found["one"], rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["fit", "missing.jsonl"], "There is no such file"), (["generate", "missing", "a"], "only `fewtune fit` works")],
)
def test_under_torchrun_all_end_when_the_command_cannot_be_meant(words, said):
    done = command(*TORCHRUN, *words)
    assert done.returncode != 0
    assert said in done.stderr
