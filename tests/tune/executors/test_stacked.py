"""A run among others is the run alone: loss by loss, weight by weight."""

import dataclasses

import numpy as np
import pytest
import torch

from fewtune.backbones.encoder import unit
from fewtune.data.splits import repeated_folds
from fewtune.methods.full import Full
from fewtune.methods.lora import LoRA
from fewtune.methods.probe import Probe
from fewtune.methods.prompt_tuning import PromptTuning
from fewtune.methods.top_layers import TopLayers
from fewtune.recipe import Recipe
from fewtune.testing.executors import ExecutorContract, same, toy_context
from fewtune.tune.executors import stacked
from fewtune.tune.executors.stacked import StackedExecutor, bundles
from fewtune.tune.run import Run, carry_out

CLOSE = 1e-5
"""Relative, in float32."""


@pytest.fixture(scope="module")
def context(tiny_encoder):
    return toy_context(tiny_encoder)


@pytest.fixture(params=[1, 2, 16])
def slots(request):
    return request.param


class TestStackedExecutor(ExecutorContract):
    tolerance = CLOSE

    @pytest.fixture
    def executor(self, slots):
        return StackedExecutor(slots)

    @pytest.fixture
    def context(self, context):
        return context


def plan_of(context, methods, *, watch=False):
    """Each method on its own fold and seed."""
    splits = repeated_folds(context.labels.tolist(), folds=3, repeats=6, seed=0)[: len(methods)]
    return [
        Run(Recipe(method), split.train, split.test, seed, watch=watch)
        for seed, (method, split) in enumerate(zip(methods, splits, strict=True))
    ]


def check(context, plan, slots):
    found = dict(StackedExecutor(slots).execute(plan, context))
    assert sorted(found) == list(range(len(plan)))
    for place, run in enumerate(plan):
        same(found[place], carry_out(run, context), tolerance=CLOSE)


def test_lora_runs_that_differ_in_everything(context, slots):
    """Rank, rates, decay, dropout, smoothing, batch size, steps, class weights, rows and seed, each run its own."""
    base = LoRA(layers=2, least_steps=6, epochs=1, most_steps=6)
    methods = [
        base,
        dataclasses.replace(base, rank=2, alpha=4, rate=5e-3),
        dataclasses.replace(base, rank=16, lora_dropout=0.4),
        dataclasses.replace(base, batch_size=4, least_steps=9, most_steps=9, weight_decay=0.3),
        dataclasses.replace(base, dropout=0.0, lora_dropout=0.0, label_smoothing=0.2),
        dataclasses.replace(base, dropout=0.5, class_weights=True, head_rate=1e-2),
        dataclasses.replace(base, batch_size=7, warmup_share=0.5, clip_norm=0.01),
    ]
    check(context, plan_of(context, methods, watch=True), slots)


@pytest.mark.parametrize("kind", [TopLayers, Full])
def test_runs_with_weights_of_their_own(context, slots, kind):
    base = kind(least_steps=5, epochs=1, most_steps=5, rate=1e-4)
    methods = [base, dataclasses.replace(base, rate=5e-4), dataclasses.replace(base, dropout=0.3), base, base]
    check(context, plan_of(context, methods), slots)


def test_prompts_that_differ_in_everything(context, slots):
    """Length, beginning, rates, dropout, smoothing, batch size, steps, class weights, rows, seed: each run its own."""
    base = PromptTuning(tokens=4, least_steps=5, most_steps=5, epochs=1)
    methods = [
        base,
        dataclasses.replace(base, tokens=1, rate=5e-2),
        dataclasses.replace(base, tokens=9, text="red dog", weight_decay=0.3),
        dataclasses.replace(base, batch_size=4, least_steps=8, most_steps=8, clip_norm=0.01),
        dataclasses.replace(base, tokens=6, dropout=0.5, label_smoothing=0.2),
        dataclasses.replace(base, dropout=0.0, class_weights=True, head_rate=1e-2, warmup_share=0.5),
    ]
    check(context, plan_of(context, methods, watch=True), slots)


def test_prompts_leave_early_stop_early_and_others_take_their_place(context, monkeypatch):
    monkeypatch.setattr("fewtune.methods.cross_entropy.ROWS_TO_SPARE", 4)
    base = PromptTuning(epochs=0.01, patience=3, rate=0.1)
    settings = ((4, 3), (2, 14), (7, 5), (3, 14))
    plan = plan_of(context, [dataclasses.replace(base, tokens=tokens, least_steps=s) for tokens, s in settings])
    check(context, plan, 2)
    logs = [outcome.log for _, outcome in sorted(StackedExecutor(2).execute(plan, context))]
    assert all(log.validation_on == "own" for log in logs)
    assert len({len(log.steps) for log in logs}) > 2, "each its own end"


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_prompts_on_the_trunks_of_causal_models(architecture, tmp_path):
    """A causal model read as an encoder: what stands before a text is seen by all of it."""
    from fewtune.backbones.load import load_encoder
    from fewtune.testing.tiny_writers import make_tiny_writer

    context = toy_context(load_encoder(make_tiny_writer(tmp_path / architecture, architecture)))
    base = PromptTuning(tokens=3, least_steps=4, epochs=0.01)
    check(context, plan_of(context, [base, dataclasses.replace(base, tokens=7), base]), 3)


def test_runs_leave_early_and_others_take_their_place(context):
    """Different lengths: a slot is used several times, and a long run sees its neighbours change."""
    base = LoRA(layers=1, epochs=0.01)
    steps = (3, 12, 5, 4, 7, 3)
    methods = [dataclasses.replace(base, least_steps=count) for count in steps]
    plan = plan_of(context, methods)
    check(context, plan, 2)
    order = [place for place, _ in StackedExecutor(2).execute(plan, context)]
    assert order.index(0) < order.index(1)
    assert order[-1] == 1 or order.index(2) < order.index(1), "the short ones passed the long one"


def test_early_stopping_is_each_runs_own(context, monkeypatch):
    monkeypatch.setattr("fewtune.methods.cross_entropy.ROWS_TO_SPARE", 4)
    base = LoRA(layers=1, least_steps=24, epochs=0.01, patience=1, rate=1e-2)
    methods = [base, dataclasses.replace(base, rate=1e-4), dataclasses.replace(base, head_rate=3e-2)]
    plan = plan_of(context, methods)
    check(context, plan, 3)
    logs = [outcome.log for _, outcome in sorted(StackedExecutor(3).execute(plan, context))]
    assert len({len(log.steps) for log in logs}) > 1, "some stopped before others"


def test_a_run_that_never_leaves_chance_starts_again_in_its_slot(context, monkeypatch):
    monkeypatch.setattr("fewtune.tune.course.CHANCE_MARGIN", 0.9)
    base = LoRA(
        layers=1, least_steps=40, epochs=0.01, rate=0.0, head_rate=0.0, strengths=(1e-6,), default_strength=1e-6
    )
    methods = [base, dataclasses.replace(base, head_rate=0.5), base]
    plan = plan_of(context, methods)
    check(context, plan, 2)
    reseeded = [outcome.log.reseeded for _, outcome in sorted(StackedExecutor(2).execute(plan, context))]
    assert reseeded[0] > 0


def test_weights_themselves(context):
    """Not predictions alone: every trained tensor of a stack of three is that of the run alone."""
    from collections import deque

    from fewtune.tune.course import Attempt
    from fewtune.tune.loop import train
    from fewtune.tune.stack import Member, _Training

    base = LoRA(layers=2, least_steps=8, epochs=0.01)
    plan = plan_of(context, [base, dataclasses.replace(base, rank=4), dataclasses.replace(base, rate=3e-3)])
    members = [Member(n, Attempt.first(run.recipe.method, context.material(run), None)) for n, run in enumerate(plan)]
    stack = base.stack(context.encoders["default"], [base] * 3, 3)
    for place, fitted in _Training(stack, deque(members), None).run():
        alone = train(plan[place].recipe.method, context.material(plan[place]))
        rank = plan[place].recipe.method.rank
        mine, theirs = fitted.body.trained(fitted.run), alone.body.trained()
        for name, tensor in theirs.items():
            part = mine[name][:rank] if name.endswith("lora_A") else mine[name][:, :rank]
            assert float((part - tensor).norm()) <= CLOSE * float(tensor.norm()), name
        apart = np.linalg.norm(fitted.head.weight_CD - alone.head.weight_CD)
        assert apart <= CLOSE * np.linalg.norm(alone.head.weight_CD)


def test_what_can_share_a_stack(context):
    lora = LoRA()
    plan = plan_of(context, [Probe(), lora, dataclasses.replace(lora, rank=2), TopLayers(), LoRA(layers=1), lora])
    alone, groups = bundles(plan, context)
    assert alone == [0]
    assert groups == [[1, 2, 5], [3], [4]]


def test_a_backbone_that_cannot_be_packed_is_trained_alone(tiny_folders):
    from fewtune.backbones.load import load_encoder

    context = toy_context(load_encoder(tiny_folders("deberta")))
    plan = plan_of(context, [LoRA(least_steps=3, epochs=0.01)] * 3)
    assert bundles(plan, context) == ([0, 1, 2], [])
    check(context, plan, 2)


def test_out_of_memory_halves_the_stack_and_loses_nothing(context, monkeypatch):
    plan = plan_of(context, [LoRA(layers=1, least_steps=4, epochs=0.01)] * 6)
    seen = []
    real = stacked.train_stack

    def tight(members, *, slots, tick=None):
        seen.append((slots, len(members)))
        for number, found in enumerate(real(members, slots=slots, tick=tick)):
            if slots == 4 and number == 1:
                raise torch.OutOfMemoryError("no memory left")
            yield found

    monkeypatch.setattr(stacked, "train_stack", tight)
    found = dict(StackedExecutor(4).execute(plan, context))
    assert seen == [(4, 6), (2, 5)]
    for place, run in enumerate(plan):
        same(found[place], carry_out(run, context), tolerance=CLOSE)


def test_another_error_is_no_lack_of_memory(context, monkeypatch):
    def broken(members, *, slots, tick=None):
        raise RuntimeError("shapes do not match")
        yield

    monkeypatch.setattr(stacked, "train_stack", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        list(StackedExecutor(4).execute(plan_of(context, [LoRA(), LoRA()]), context))


def test_memory_decides_how_many(context, monkeypatch):
    from fewtune.tune import memory
    from fewtune.tune.course import Attempt
    from fewtune.tune.stack import Member

    run = plan_of(context, [LoRA()])[0]
    member = Member(0, Attempt.first(run.recipe.method, context.material(run), None))
    one = memory.need(run.recipe.method, context.material(run))
    monkeypatch.setattr(memory, "free", lambda device: int(5.5 * one / memory.SHARE))
    assert memory.room([member] * 9) == 5
    monkeypatch.setattr(memory, "free", lambda device: 0)
    assert memory.room([member] * 9) == 1


def test_the_estimate_of_what_moves_is_near_the_truth(context):
    from fewtune.tune import memory

    encoder = context.encoders["default"]
    for method in (LoRA(layers=2), TopLayers(layers=2)):
        run = plan_of(context, [method])[0]
        material = context.material(run)
        true = sum(p.numel() for group in method.build(material).parameter_groups() for p in group["params"])
        live = 3 - method.frozen_layers(encoder)
        assert 0.7 < memory.moving(method, material, live) / true < 1.5


def test_losses_taken_at_once_as_on_a_gpu_are_those_taken_a_run_at_a_time(context):
    methods = [LoRA(label_smoothing=0.2), LoRA(class_weights=True), LoRA()]
    plan = plan_of(context, methods)
    stack = methods[0].stack(context.encoders["default"], methods, 3)
    for slot, run in enumerate(plan):
        stack.enter(slot, run.recipe.method, context.material(run))
    stack.body.eval()
    batch = {0: np.arange(3), 1: np.arange(1, 6), 2: np.arange(2)}
    one_by_one = stack.losses(batch)
    texts = [stack.runs[slot].material.texts[row] for slot, rows in batch.items() for row in rows]
    owners = [slot for slot, rows in batch.items() for _ in rows]
    vectors = torch.split(unit(stack.body(texts, owners)), [len(rows) for rows in batch.values()])
    for slot, loss in stack._all_losses(vectors, list(batch), batch).items():
        torch.testing.assert_close(loss, one_by_one[slot], rtol=1e-5, atol=1e-7)
