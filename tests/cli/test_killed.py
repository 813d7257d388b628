"""kill -9 at any moment, again and again; then the same command: nothing is done twice, nothing half written is read.

The command runs in forked children of the test, which have its libraries loaded: most of a kill's chances then fall
into the work and not into imports.
"""

import json
import os
import random
import signal
import sys
import time

import numpy as np
import pytest
from test_fit_command import without_times

from fewtune import load, model_folder
from fewtune.backbones.prefix import answers
from fewtune.study.evaluator import Evaluator
from fewtune.study.store import RunStore, read_lines
from fewtune.testing.toys import toy_dataset

TEXTS = toy_dataset(6, seed=5).texts


@pytest.fixture
def options(toys_csv, tiny_folders):
    """A fit of some twenty runs, every layer of the stores in use."""
    return [
        *("fit", str(toys_csv), "--backbone", str(tiny_folders("bert")), "--method", "top_layers", "--budget", "none"),
        *("--folds", "3", "--repeats", "1", "--quiet"),
    ]


@pytest.fixture(autouse=True)
def _written_at_once(monkeypatch):
    monkeypatch.setattr(answers, "WORTH_BYTES", 0)
    monkeypatch.setattr(answers, "SEGMENT_BYTES", 4000)


def in_child(work):
    """The process id of a child that does `work` and ends."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        sink = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(sink, descriptor)
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        os._exit(code)


def fit_in_child(options, folder):
    from fewtune.cli.main import run

    def work():
        sys.argv = ["fewtune", *options, "--out", str(folder)]
        run()

    return in_child(work)


def killed(child, delay):
    """Whether the child was still at it after `delay` seconds, and is no more."""
    time.sleep(delay)
    if os.waitpid(child, os.WNOHANG)[0]:
        return False
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def whole_lines(folder):
    path = folder / "runs.jsonl"
    kept = path.read_bytes() if path.exists() else b""
    return kept[: kept.rfind(b"\n") + 1]


@pytest.mark.slow
def test_killed_at_random_moments_a_fit_comes_to_the_same_end(options, tmp_path):
    started = time.monotonic()
    assert ended(fit_in_child(options, tmp_path / "whole")) == 0
    seconds = time.monotonic() - started
    rng, folder = random.Random(0), tmp_path / "killed"
    child = fit_in_child(options, folder)
    while not whole_lines(folder):
        time.sleep(0.01)
    assert killed(child, 0.0), "once at least it is in the middle of its runs"
    for _ in range(6):
        before = whole_lines(folder)
        killed(fit_in_child(options, folder), rng.uniform(0.05, 0.7) * seconds)
        assert whole_lines(folder).startswith(before), "what was finished was kept"
    assert ended(fit_in_child(options, folder)) == 0
    keys = [json.loads(line)["key"] for line in whole_lines(folder).splitlines()]
    assert len(keys) == len(set(keys)), "nothing was computed twice"
    one, other = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "killed"))
    assert without_times(one) == without_times(other)
    left = {path.name for path in folder.iterdir()}
    assert left == {path.name for path in (tmp_path / "whole").iterdir()}, "no half of a model lies about"
    one, other = (load(tmp_path / name).predict_proba(TEXTS) for name in ("whole", "killed"))
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_killed_at_the_end_a_result_is_whole_or_not_there(options, tmp_path):
    """With every run finished, what is left to kill is refit, model, result and page."""
    folder = tmp_path / "fit"
    assert ended(fit_in_child(options, folder)) == 0
    wanted = without_times(json.loads((folder / "result.json").read_text()))
    started = time.monotonic()
    assert ended(fit_in_child(options, folder)) == 0
    seconds = time.monotonic() - started
    rng = random.Random(1)
    for _ in range(5):
        killed(fit_in_child(options, folder), rng.uniform(0.5, 1.0) * seconds)
        assert without_times(json.loads((folder / "result.json").read_text())) == wanted
        if (folder / "model").exists():
            load(folder)
    assert ended(fit_in_child(options, folder)) == 0
    assert load(folder).predict_proba(TEXTS).shape == (len(TEXTS), 3)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_killed_while_saving_a_model_it_can_be_saved_again(tiny_encoder, tmp_path):
    """Not what a deletion cut short had left: a folder that is no model, and so was never to be written over."""
    from fewtune.methods.head import LinearHead
    from fewtune.methods.probe import FittedProbe, Probe
    from fewtune.recipe import Recipe

    def model(value):
        head = LinearHead(np.full((2, 64), value, dtype=np.float32), np.zeros(2, dtype=np.float32))
        return model_folder.Model(FittedProbe(tiny_encoder, head), Recipe(Probe()), ("a", "b"))

    folder = tmp_path / "model"

    def save_on_and_on():
        while True:
            model_folder.save(model(1.0), tiny_encoder, folder)

    rng, whole, longest = random.Random(2), 0, 0.08
    while not whole and longest < 60:  # a busy machine needs longer to save one
        for _ in range(25):
            assert killed(in_child(save_on_and_on), rng.uniform(0.0, longest))
            if folder.exists():
                np.testing.assert_array_equal(model_folder.load(folder).predict_proba(["the dog"]), [[0.5, 0.5]])
                whole += 1
        longest *= 4
    model_folder.save(model(2.0), tiny_encoder, folder)
    assert whole
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.slow
def test_a_plan_killed_at_random_moments(tiny_encoder, tmp_path):
    """Through the evaluator itself: each time it goes on with the runs that are not finished."""
    from fewtune.data.splits import repeated_folds
    from fewtune.methods.top_layers import TopLayers
    from fewtune.recipe import Recipe
    from fewtune.testing.executors import toy_context

    context = toy_context(tiny_encoder)
    splits = repeated_folds(context.labels.tolist(), folds=4, repeats=2, seed=0)
    recipe = Recipe(TopLayers(least_steps=20, most_steps=20))
    whole = Evaluator(context, splits).judge(recipe)
    folder, rng = tmp_path / "plan", random.Random(3)
    for _ in range(30):
        before = whole_lines(folder)
        child = in_child(lambda: Evaluator(context, splits, store=RunStore(folder)).judge(recipe))
        if not killed(child, rng.uniform(0.0, 0.4)):
            break
        assert whole_lines(folder).startswith(before)
        for line in read_lines(folder / "runs.jsonl"):
            assert RunStore(folder).get(line["key"]) is not None, "a line means that its run is whole"
    judged = Evaluator(context, splits, store=RunStore(folder)).judge(recipe)
    keys = [line["key"] for line in read_lines(folder / "runs.jsonl")]
    assert len(keys) == len(set(keys)) == len(splits)
    for one, other in zip(judged.outcomes, whole.outcomes, strict=True):
        np.testing.assert_array_equal(one.probs, other.probs)


def test_no_worker_goes_on_when_the_command_is_killed(tiny_encoder, tmp_path):
    from fewtune.data.splits import repeated_folds
    from fewtune.methods.top_layers import TopLayers
    from fewtune.recipe import Recipe
    from fewtune.testing.executors import toy_context
    from fewtune.tune.executors.forked import ForkedExecutor
    from fewtune.tune.run import Run

    context = toy_context(tiny_encoder)
    splits = repeated_folds(context.labels.tolist(), folds=2, repeats=1, seed=0)
    recipe = Recipe(TopLayers(least_steps=10**6, most_steps=10**6))
    plan = [Run(recipe, split.train, split.test, 0) for split in splits]
    child = in_child(lambda: list(ForkedExecutor(workers=2).execute(plan, context)))
    until = time.monotonic() + 600
    while len(children_of(child)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    workers = children_of(child)
    assert len(workers) == 2
    assert killed(child, 0.5)
    until = time.monotonic() + 600
    while any(alive(worker) for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(alive(worker) for worker in workers)


def children_of(process):
    with open(f"/proc/{process}/task/{process}/children") as file:  # noqa: PTH123
        return [int(child) for child in file.read().split()]


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
