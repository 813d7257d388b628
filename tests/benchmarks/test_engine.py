"""The engine benchmarks measure what they say: same runs for everybody, torn journals, stacked losses, padding."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ENGINE = Path(__file__).parents[2] / "benchmarks" / "engine"
MODULES = ("measure", "grid", "table", "gpu", "padding", "scaling", "probes")


@pytest.fixture(scope="module")
def engine():
    """`engine("grid")`: a script of the folder as a module, its name free again afterwards."""
    import importlib

    sys.path.insert(0, str(ENGINE))
    yield importlib.import_module
    sys.path.remove(str(ENGINE))
    for name in [*MODULES, *(name for name in sys.modules if name.split(".")[0] == "systems")]:
        sys.modules.pop(name, None)


@pytest.fixture
def rows_csv(tmp_path):
    lines = ["text,label", *(f"text {row} of {row % 3},class {row % 3}" for row in range(30))]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_grid_is_five_folds_of_eight_settings(engine, rows_csv):
    grid = engine("grid").make_grid(rows_csv, layers=2)
    assert [cell.number for cell in grid.cells] == list(range(40))
    assert len({cell.setting for cell in grid.cells}) == 8
    for fold in range(5):
        members = [cell for cell in grid.cells if cell.fold == fold]
        assert len(members) == 8
        assert all(np.array_equal(cell.test, members[0].test) for cell in members)
    assert grid.cells[0].steps == round(10 * 24 / 16)
    assert [grid.classes[code] for code in grid.codes] == grid.labels


def test_a_quick_look_meets_several_settings_and_what_is_done_stays_done(engine, rows_csv):
    module = engine("grid")
    grid = module.make_grid(rows_csv, layers=2)
    assert [cell.number for cell in module.chosen(grid, 4, set())] == [5, 15, 25, 35]
    assert [cell.number for cell in module.chosen(grid, 4, {15})] == [5, 25, 35]
    assert len(list(module.chosen(grid, None, {0, 1}))) == 38


def test_a_journal_goes_on_where_it_was_killed(engine, tmp_path):
    measure = engine("measure")
    path = tmp_path / "system.jsonl"
    first = measure.Journal(path)
    first.open({"load_average_before": 0.1})
    first.finished(3, accuracy=0.5, log_loss=1.0, steps_done=7)
    with path.open("a") as file:
        file.write('{"session": 0, "run": 4, "wa')
    again = measure.Journal(path)
    assert again.done == {3}
    assert again.session == 1


def test_the_table_adds_up_sessions_and_says_what_is_missing(engine, tmp_path):
    table = engine("table")
    run = {"accuracy": 0.5, "log_loss": 1.0, "steps_done": 7}
    lines = [
        {"session": 0, "about": {"load_average_before": 0.1}},
        {"session": 0, "run": 0, "wall": 4.0, **run},
        {"session": 1, "about": {"load_average_before": 0.2}},
        {"session": 1, "run": 1, "wall": 3.0, **run},
        {"session": 1, "closed": True, "wall": 5.0, "cpu": 9.0, "peak_memory_gib": 1.5},
    ]
    path = tmp_path / "fewtune.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found = table.summary(path)
    assert found["wall"] == 9.0
    assert found["runs"] == 2
    assert found["cpu"] is None  # of a killed session it is not known
    peer = {**found, "system": "trainer-bf16", "wall": 90.0}
    assert any("| 10.00 |" in line for line in table.rows([found, peer]))
    assert "a quick look, not a result" in table.remarks([found])[0]
    assert "must not" not in table.remarks([found])[0]
    assert any("not to be quoted" in said for said in table.remarks([{**found, "load": 3.0}]))


def test_peak_memory_is_seen(engine):
    measure = engine("measure")
    with measure.PeakMemory() as memory:
        torch.zeros(1)
    assert memory.gib is None or 0 < memory.gib < 64


@pytest.fixture(scope="module")
def gpu(engine):
    return engine("gpu")


def tiny_step(gpu, rates, runs, steps=2):
    job = gpu.Job("tiny", runs=len(rates), texts=2, length=12, steps=steps)
    stack = gpu.Stacked(gpu.build("tiny").float(), rates)
    losses = [stack.step(np.stack([gpu.batch(job, run, step) for run in runs])) for step in range(steps)]
    return torch.stack(losses), stack


def test_the_loss_of_a_pack_is_that_of_the_library(gpu):
    """Each run's loss is what LlamaForCausalLM computes for its texts alone."""
    losses_SK, _ = tiny_step(gpu, [1e-3, 1e-3, 1e-3], runs=(0, 1, 2), steps=1)
    job = gpu.Job("tiny", runs=3, texts=2, length=12, steps=1)
    model = gpu.build("tiny").float()
    for run in range(3):
        ids = torch.from_numpy(gpu.batch(job, run, 0))
        assert float(losses_SK[0, run]) == pytest.approx(float(model(input_ids=ids, labels=ids).loss), rel=1e-5)


def test_a_run_in_a_stack_is_the_run_alone(gpu):
    together_SK, stack = tiny_step(gpu, [1e-3, 1e-3], runs=(0, 1), steps=3)
    alone_S1, lone = tiny_step(gpu, [1e-3], runs=(0,), steps=3)
    torch.testing.assert_close(together_SK[:, :1], alone_S1, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(together_SK[0], together_SK[1])  # it learned something
    for ours, theirs in zip(stack.adapters, lone.adapters, strict=True):
        torch.testing.assert_close(ours.lora_A[0], theirs.lora_A[0], rtol=1e-4, atol=1e-6)


def test_texts_of_a_pack_do_not_predict_each_other(gpu):
    layout = gpu.Layout([3, 2], runs=[0, 0])
    hidden = torch.randn(1, 5, 8)
    output, ids = torch.randn(11, 8), torch.tensor([1, 2, 3, 4, 5])
    logits = hidden[0] @ output.T
    expected = torch.nn.functional.cross_entropy(logits[[0, 1, 3]], ids[[1, 2, 4]])
    assert float(gpu.next_token_losses(hidden, output, ids, layout)[0]) == pytest.approx(float(expected), rel=1e-6)


def test_large_shapes_are_refused_without_a_gpu(gpu):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert gpu.refuse("tiny") is None
    assert "wants a CUDA device" in gpu.refuse("8b")


def test_shapes_have_the_parameters_they_are_called_by(gpu):
    for name, billions in (("0.5b", 0.5), ("1.2b", 1.2), ("8b", 8.0)):
        sizes = gpu.SHAPES[name]
        head = sizes["width"] // sizes["heads"]
        attention = 2 * sizes["width"] ** 2 + 2 * sizes["width"] * head * sizes["kv_heads"]
        total = sizes["layers"] * (attention + 3 * sizes["width"] * sizes["inner"])
        total += sizes["vocab"] * sizes["width"] * (2 if name == "8b" else 1)
        assert total / 1e9 == pytest.approx(billions, rel=0.05)


def test_padding_is_counted(engine):
    padding = engine("padding")
    rng = np.random.default_rng(0)
    equal = np.full(32, 8)
    assert padding.packed(equal, rng) == {"linear": 0.0, "attention_tokens": 0.0, "attention_pairs": 0.0}
    assert padding.peer(equal, rng, grouped=False) == {"tokens": 0.0}
    mixed = np.asarray([4, 8] * 16)
    assert 0 <= padding.packed(mixed, rng)["linear"] < 0.15, "filled up to a multiple of 16 tokens"
    assert 0 < padding.packed(mixed, rng)["attention_tokens"] < padding.packed(mixed, rng)["attention_pairs"]
    assert padding.peer(mixed, rng, grouped=False)["tokens"] == pytest.approx(0.25, abs=0.01)
    assert padding.share(3, 4) == 0.25


def test_a_further_run_is_set_against_the_first(engine):
    scaling = engine("scaling")
    found = {1: {"seconds": 2.0}, 4: {"seconds": 5.0}, 16: {"seconds": 11.0}}
    assert scaling.marginal(found) == pytest.approx(0.25)
    assert scaling.marginal({4: {"seconds": 5.0}}) is None


def test_the_picture_is_drawn(engine, tmp_path):
    found = {"serial": {1: {"seconds": 2.0}, 4: {"seconds": 8.0}}, "stacked, K = 4": {1: {"seconds": 2.0}}}
    engine("scaling").draw(found, "a title", tmp_path / "out.svg")
    assert "<svg" in (tmp_path / "out.svg").read_text(encoding="utf-8")


def test_the_sweep_has_a_thousand_settings(engine):
    probes = engine("probes")
    assert probes.FOLDS * len(set(probes.STRENGTHS)) * len(set(probes.NAME_WEIGHTS)) == 1000
