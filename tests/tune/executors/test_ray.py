"""The Ray executor keeps the contract on a cluster of two cores; who dies costs what it was at, be it a machine."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import bad_methods
import numpy as np
import psutil
import pytest
from bad_methods import Failing, Fatal

from fewtune.data.splits import repeated_folds
from fewtune.errors import BackboneDamaged, BackboneMissing, MissingExtra, TrainingDiverged, UsageError
from fewtune.methods.base import Fitted, Material
from fewtune.methods.lora import LoRA
from fewtune.methods.majority import Majority
from fewtune.methods.probe import Probe
from fewtune.recipe import Recipe
from fewtune.testing.executors import ExecutorContract, same, toy_context
from fewtune.testing.toys import toy_dataset
from fewtune.tune.executors.one_run import carry_out_here
from fewtune.tune.executors.ray import RayExecutor, grouped
from fewtune.tune.run import Run, carry_out

# Not `importorskip`: Ray reads its environment when it is imported, which is the executor's to prepare.
if importlib.util.find_spec("ray") is None:
    pytest.skip("ray is not installed: pip install 'fewtune[ray]'", allow_module_level=True)


@pytest.fixture(scope="module")
def shared():
    executor = RayExecutor(workers=2)
    # Workers cannot import these files, as they can a module that is installed.
    for module in (sys.modules[__name__], bad_methods):
        executor.ray.cloudpickle.register_pickle_by_value(module)
    yield executor
    executor.close()


@pytest.fixture
def context(tiny_encoder):
    return toy_context(tiny_encoder)


@pytest.fixture
def toys_csv(tmp_path):
    toys = toy_dataset(8)
    rows = [f"{text},{label}" for text, label in zip(toys.texts, toys.labels, strict=True)]
    (tmp_path / "toys.csv").write_text("\n".join(["text,label", *rows, ""]))
    return tmp_path / "toys.csv"


def plan_of(context, *methods, repeats=1):
    splits = repeated_folds(context.labels.tolist(), folds=3, repeats=repeats, seed=0)
    return [Run(Recipe(method), split.train, split.test, 0) for method in methods for split in splits]


@pytest.mark.slow
class TestRayExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, shared):
        return shared

    @pytest.fixture
    def context(self, tiny_encoder):
        return toy_context(tiny_encoder)


@dataclass(frozen=True)
class Frail(Majority):
    """Kills the first worker it runs in, leaving a mark."""

    parent: int = 0
    mark: str = ""

    def fit(self, material: Material) -> Fitted:
        """Die once."""
        if os.getpid() != self.parent:
            with contextlib.suppress(FileExistsError), Path(self.mark).open("x"):
                os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(material)


@pytest.mark.slow
def test_a_worker_that_dies_costs_only_its_run_which_is_done_again(shared, context, tmp_path):
    plan = plan_of(context, Frail(parent=os.getpid(), mark=str(tmp_path / "mark")), Probe())
    done = dict(shared.execute(plan, context))
    assert (tmp_path / "mark").exists(), "nobody died: the test shows nothing"
    assert sorted(done) == list(range(len(plan)))
    for place, outcome in done.items():
        same(outcome, carry_out(plan[place], context))


@pytest.mark.slow
def test_a_run_that_kills_every_worker_is_done_here(shared, context):
    plan = [*plan_of(context, Fatal(os.getpid()))[:1], *plan_of(context, Probe())]
    done = dict(shared.execute(plan, context))
    assert sorted(done) == list(range(len(plan)))
    np.testing.assert_array_equal(done[0].probs, carry_out(plan[0], context).probs)


@pytest.mark.slow
def test_what_a_run_raises_comes_through(shared, context):
    with pytest.raises(TrainingDiverged, match="on purpose"):
        list(shared.execute(plan_of(context, Failing()), context))


@pytest.mark.slow
def test_workers_stay_from_plan_to_plan(shared, context):
    """A second plan opens nothing anew, also after one that was left early."""
    plan = plan_of(context, LoRA(least_steps=4, epochs=0.1))
    before = dict(shared.execute(plan, context))
    processes = sorted(shared.ray.get([hand.actor.where.remote() for hand in shared._hands]))
    next(stream := shared.execute(plan, context))
    stream.close()
    again = dict(shared.execute(plan, context))
    assert sorted(shared.ray.get([hand.actor.where.remote() for hand in shared._hands])) == processes
    for place, outcome in again.items():
        same(outcome, before[place])
        same(outcome, carry_out_here(plan[place], context, None))


@pytest.mark.slow
def test_a_backbone_that_is_not_there_or_another_is_refused(context, tiny_folders, tmp_path):
    """As on a machine that lacks the folder, or has an older copy of it."""
    from fewtune.tune.executors.one_run import Refusal
    from fewtune.tune.executors.ray_worker import Parcel, Worker

    parcel = Parcel.of(context)
    told = Worker("serial").open(parcel)
    assert told is None
    for change, kind, words in (
        ({"folder": tmp_path / "gone", "name": str(tmp_path / "gone")}, BackboneMissing, "Copy the folder there"),
        ({"folder": tiny_folders("roberta")}, BackboneDamaged, "is not the backbone of this study"),
    ):
        backbone = dataclasses.replace(parcel.backbones["default"], **change)
        told = Worker("serial").open(dataclasses.replace(parcel, backbones={"default": backbone}))
        assert isinstance(told, Refusal)
        with pytest.raises(kind, match=words):
            raise told.error()


def test_a_machine_that_would_compute_otherwise_is_refused(context):
    from fewtune.tune.executors.ray_worker import Parcel, Worker

    parcel = Parcel.of(context)
    other = dataclasses.replace(parcel, arithmetic=("0.0.1", *parcel.arithmetic[1:]))
    with pytest.raises(UsageError, match=r"0\.0\.1 here"):
        raise Worker("serial").open(other).error()


def test_runs_that_share_are_grouped_and_none_is_forgotten(context):
    lora = LoRA()
    plan = plan_of(context, Probe(), lora, dataclasses.replace(lora, rank=2), LoRA(layers=1))
    assert grouped(plan, 1) == [[place] for place in range(12)]
    assert grouped(plan, 4) == [[0, 1, 2], [3, 4, 5, 6], [7, 8], [9, 10, 11]]


@pytest.mark.slow
def test_a_group_that_dies_costs_the_runs_it_had_not_finished(shared, context, tmp_path, monkeypatch):
    """Several runs a worker: those before the deadly one stand, those after it are done again, alone."""
    plan = [*plan_of(context, Majority()), *plan_of(context, Frail(parent=os.getpid(), mark=str(tmp_path / "mark")))]
    monkeypatch.setattr(shared, "group", 3)
    done = dict(shared.execute(plan, context))
    assert (tmp_path / "mark").exists(), "nobody died: the test shows nothing"
    for place, outcome in done.items():
        same(outcome, carry_out(plan[place], context))
    assert sorted(done) == list(range(len(plan)))


@pytest.mark.slow
def test_a_cluster_whose_cores_are_all_taken_is_not_waited_for(shared, context, monkeypatch):
    plan = plan_of(context, Probe())
    list(shared.execute(plan, context))  # its two workers stay, and hold both cores
    monkeypatch.setattr("fewtune.tune.executors.ray.PATIENCE_SECONDS", 1.0)
    other = RayExecutor()
    try:
        done = dict(other.execute(plan, context))
    finally:
        other.close()
    assert shared.ray.is_initialized(), "closing one does not close the other"
    for place, outcome in done.items():
        same(outcome, carry_out_here(plan[place], context, None))
    assert sorted(done) == [0, 1, 2]


@pytest.mark.slow
def test_one_cluster_at_a_time(shared, context):
    plan = plan_of(context, Probe())
    list(shared.execute(plan, context))
    with pytest.raises(UsageError, match="already uses the Ray cluster"):
        list(RayExecutor("elsewhere:6379").execute(plan, context))


@pytest.mark.slow
def test_an_address_nobody_answers_at_is_said(toys_csv):
    """As a person meets it, in a process of its own: this one may be connected."""
    for address, said in (
        ("ray://nowhere:10001", "client addresses"),
        ("127.0.0.1:1", "No Ray cluster could be joined"),
        ("nonsense", "No Ray cluster could be joined"),
    ):
        command = [sys.executable, "-m", "fewtune.cli.main", "fit", str(toys_csv), "--method", "probe"]
        command += ["--executor", "ray", "--ray-address", address, "--out", str(toys_csv.parent / "out")]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 2, answer.stderr
        assert said in answer.stderr
        assert "Traceback" not in answer.stderr


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"fewtune\[ray\]"):
        RayExecutor()


LONG = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
from fewtune.backbones.load import load_encoder
from fewtune.data.splits import repeated_folds
from fewtune.methods.top_layers import TopLayers
from fewtune.recipe import Recipe
from fewtune.testing.executors import toy_context
from fewtune.tune.executors.ray import RayExecutor
from fewtune.tune.run import Run

context = toy_context(load_encoder(sys.argv[1]))
endless = TopLayers(least_steps=100_000, most_steps=100_000)
plan = [Run(Recipe(endless), s.train, s.test, 0) for s in repeated_folds(context.labels.tolist(), folds=3, seed=0)]
executor = RayExecutor(workers=2)
said = []
def tick():
    if not said and any(hand.stream is not None for hand in executor._hands):
        said.append(1)
        print("at it", flush=True)
list(executor.execute(plan, context, tick=tick))
"""


AT_ONCE = pytest.param(
    signal.SIGKILL, id="kill -9", marks=pytest.mark.slow
)  # Ray's helpers take half a minute to see it


@pytest.mark.slow
@pytest.mark.parametrize("end", [pytest.param(signal.SIGINT, id="Ctrl-C"), AT_ONCE])
def test_nothing_outlives_the_command(tiny_folders, end):
    """Whatever ends it, also without a word: a cluster we started goes with us."""
    command = [sys.executable, "-c", LONG, str(tiny_folders("bert"))]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "at it"
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("raylet" in " ".join(one.cmdline()) for one in family)
        if end == signal.SIGINT:
            os.killpg(process.pid, end)  # as a terminal does: every process of the foreground is told
        else:
            process.kill()
        process.wait()
    _, alive = psutil.wait_procs(family, timeout=300)  # Ray's own helpers look for their parent every few seconds
    assert not alive


@pytest.mark.slow
def test_several_machines(tiny_folders, tmp_path):
    """Two nodes with a core each, as two machines would be; one is lost while it works."""
    script = tmp_path / "two.py"
    script.write_text(TWO)
    answer = subprocess.run(
        [sys.executable, str(script), str(tiny_folders("bert"))], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["2", "nodes", "12", "runs", "same"]


TWO = """
import os, sys
os.environ["RAY_AUTH_MODE"] = "disabled"
from fewtune.tune.executors.ray_cluster import ray
ray("auto")
from ray.cluster_utils import Cluster
from fewtune.backbones.load import load_encoder
from fewtune.data.splits import repeated_folds
from fewtune.methods.lora import LoRA
from fewtune.recipe import Recipe
from fewtune.testing.executors import same, toy_context
from fewtune.tune.executors.one_run import carry_out_here
from fewtune.tune.executors.ray import RayExecutor
from fewtune.tune.run import Run

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
context = toy_context(load_encoder(sys.argv[1]))
splits = repeated_folds(context.labels.tolist(), folds=3, repeats=4, seed=0)
plan = [Run(Recipe(LoRA(least_steps=30, epochs=0.1)), s.train, s.test, 0) for s in splits]
executor = RayExecutor(cluster.address)
lost = []
found = {}
for place, outcome in executor.execute(plan, context):
    found[place] = outcome
    if not lost and all(hand.opening is None for hand in executor._hands):
        print(len([node for node in executor.ray.nodes() if node["Alive"]]), "nodes")
        lost.append(cluster.remove_node(second, allow_graceful=False))
print(len(found), "runs")
for place, run in enumerate(plan):
    same(found[place], carry_out_here(run, context, None))
print("same")
executor.close()
cluster.shutdown()
"""
