"""The machine's figures: every way is there, shares are shares, and nothing depends on how fast this machine is."""

import contextlib
import json

import pytest
import torch

from fewtune.backbones.load import load_encoder
from fewtune.methods.lora import LoRA
from fewtune.tune import bench
from fewtune.tune.bench import Figures, Way
from fewtune.tune.executors.forked import ForkedExecutor
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.executors.stacked import StackedExecutor


@pytest.fixture(scope="module")
def figures(tiny_encoder):
    """Measured as on one core: two threads that wait for each other by spinning make a busy machine's test long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "usable_cores", lambda: 1)
        patch.setitem(bench.PEAK_SIZES, "cpu", (512,))
        yield measured(tiny_encoder)


def measured(tiny_encoder):
    said = []
    found = bench.measure(tiny_encoder, seconds=0.03, told=said.append)
    assert len(said) == len(bench.plans(tiny_encoder)) + 2
    return found


def test_every_way_is_measured(figures):
    ways = [(way.processes, way.threads, way.slots) for way in figures.ways]
    assert ways == [(1, 1, 1), (1, 1, 2), (1, 1, 4), (1, 1, 8)]


def test_on_several_cores_threads_and_processes_are_tried(tiny_encoder, monkeypatch):
    monkeypatch.setattr(bench, "usable_cores", lambda: 4)
    plans = bench.plans(tiny_encoder)
    assert [plan.words for plan in plans[:4]] == [
        "a run alone, 1 thread",
        "a run alone, 4 threads",
        "4 side by side, 1 thread each",
        "2 stacked, 4 threads",
    ]
    kinds = [type(plan.executor()) for plan in plans[:4]]
    assert kinds == [SerialExecutor, SerialExecutor, ForkedExecutor, StackedExecutor]


def test_figures_are_sane(figures):
    assert figures.peak_flops > 1e6
    assert figures.forward_tokens_per_second > 0
    assert figures.forward_texts == bench.FORWARD_TEXTS
    assert figures.cache_gain >= 1
    for way in figures.ways:
        assert way.tokens_per_second > 0
        assert 0 < figures.share(way) < 1
        tokens_a_step = figures.batch_size * figures.tokens_a_text
        assert way.tokens_per_second / way.steps_per_second == pytest.approx(tokens_a_step, rel=0.02)
    assert figures.best.tokens_per_second == max(way.tokens_per_second for way in figures.ways)
    assert figures.alone.slots == figures.alone.processes == 1


def test_they_are_json(figures):
    plain = json.loads(json.dumps(figures.to_json()))
    assert plain["precision"] == "float32"
    assert plain["device"] == "cpu"
    assert plain["best_slots"] in (1, 2, 4, 8)
    assert plain["best"]["title"] in [way["title"] for way in plain["ways"]]
    assert all(0 < way["share_of_peak"] < 1 for way in plain["ways"])


def figures_of(*ways):
    return Figures("tiny", "cpu", "float32", 2, 16, 10.0, 1e9, 1e3, 256, 1.0, 100.0, ways)


def test_the_best_is_the_fastest_and_the_best_stack_that_of_one_process():
    alone, side, stack = Way(1, 1, 1, 100.0, 1.0), Way(2, 1, 1, 180.0, 2.0), Way(1, 2, 4, 90.0, 1.0)
    assert figures_of(alone, side, stack).best == side
    assert figures_of(alone, side, stack).best_slots == 1
    faster = Way(1, 2, 8, 150.0, 2.0)
    assert figures_of(alone, side, stack, faster).best_slots == 8
    assert figures_of(alone, side).share(side) == pytest.approx(180 * 100 / 1e9)


def test_operations_are_those_of_the_live_layers(tiny_encoder):
    """A layer of the tiny BERT: four square matrices of the attention, two of the feed-forward twice as wide."""
    width = tiny_encoder.width
    a_layer = 4 * width**2 + 2 * width * 2 * width
    no_way_back = 2 * 3 * width**2  # into the states that are cached
    assert bench.flops_a_token(tiny_encoder, LoRA(layers=2)) == 4 * 2 * a_layer - no_way_back
    assert bench.flops_a_token(tiny_encoder, LoRA(layers=1)) == 4 * a_layer - no_way_back
    assert bench.flops_a_token(tiny_encoder, LoRA(layers=3)) == 4 * 3 * a_layer


def test_the_backbone_is_timed_on_a_datasets_worth_of_texts_past_its_cache(tiny_encoder, monkeypatch):
    texts, tokens = bench.made_up_rows(bench.FORWARD_TEXTS).texts, []
    tiny_encoder.embed(texts)
    plain = type(tiny_encoder._frozen).pooled

    def counting(self, given):
        tokens.append(sum(map(len, given)))
        return plain(self, given)

    monkeypatch.setattr(type(tiny_encoder._frozen), "pooled", counting)
    assert bench.forward_rate(tiny_encoder, seconds=0.0) > 0
    assert set(tokens) == {sum(map(len, tiny_encoder.tokens(texts)))}
    assert len(tokens) == 1 + 4, "one to count, one to warm up, three that are timed"


def test_every_figure_is_of_the_threads_it_says(tiny_encoder, monkeypatch):
    """Peak and passes of every core; what frozen layers would add to a step, of that step's threads."""
    seen, asked = {}, []

    def noting(name):
        plain = getattr(bench, name)

        def noted(*args, **options):
            seen[name] = asked[-1]
            return plain(*args, **options)

        monkeypatch.setattr(bench, name, noted)

    @contextlib.contextmanager
    def threads(count):  # asked for and not taken: on a busy machine two threads wait for each other by spinning
        asked.append(count)
        yield
        asked.pop()

    monkeypatch.setattr(bench, "_threads", threads)
    for name in ("peak_flops", "forward_rate", "_frozen_seconds"):
        noting(name)
    monkeypatch.setattr(bench, "usable_cores", lambda: 2)
    monkeypatch.setattr(bench, "plans", lambda encoder: [bench.Plan(1, 1, 1)])
    monkeypatch.setitem(bench.PEAK_SIZES, "cpu", (512,))
    bench.measure(tiny_encoder, seconds=0.01)
    assert seen == {"peak_flops": 2, "forward_rate": 2, "_frozen_seconds": 1}


def test_what_cannot_be_packed_is_not_stacked(tiny_folders):
    encoder = load_encoder(tiny_folders("deberta"))
    if encoder.first_position is not None:
        pytest.skip("this DeBERTa can be packed")
    assert {plan.slots for plan in bench.plans(encoder)} == {1}


def test_rows_are_the_same_every_time_and_can_be_learned():
    rows = bench.made_up_rows()
    assert rows.fingerprint == bench.made_up_rows().fingerprint
    assert len(set(rows.texts)) == len(rows)
    assert set(rows.class_sizes.values()) == {bench.ROWS_A_CLASS}


def test_threads_are_put_back(tiny_encoder):
    before = torch.get_num_threads()
    with bench._threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_a_call_is_timed_at_least_three_times():
    calls = []
    assert bench.best_seconds(lambda: calls.append(1), seconds=0.0) >= 0
    assert len(calls) == 4  # one of them to warm up
