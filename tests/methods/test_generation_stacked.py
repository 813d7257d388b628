"""Writers trained side by side are those trained alone: loss by loss, completion by completion, tensor by tensor."""

import dataclasses
from collections import deque

import numpy as np
import pytest
import torch

from fewtune.backbones.language.load import load_language_model
from fewtune.backbones.language.trunk import trunk_of
from fewtune.backbones.precision import detect
from fewtune.methods.generation.full import FullWriter
from fewtune.methods.generation.ia3 import IA3Writer
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.p_tuning import PTuningWriter
from fewtune.methods.generation.packed_prompt import PackedPrompt, packs
from fewtune.methods.generation.prefix_tuning import PrefixTuningWriter
from fewtune.methods.generation.prompt_tuning import PromptTuningWriter
from fewtune.methods.generation.top_layers import TopLayersWriter
from fewtune.recipe import Recipe
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys
from fewtune.tune.course import Attempt
from fewtune.tune.executors.stacked import StackedExecutor, bundles
from fewtune.tune.loop import train
from fewtune.tune.memory import need
from fewtune.tune.run import Context, Run, carry_out
from fewtune.tune.stack import Member, _Training

CLOSE = 1e-5
"""Relative, in float32."""
PROMPTS = [PromptTuningWriter, PrefixTuningWriter, PTuningWriter]
short = {"least_steps": 3, "most_steps": 3, "epochs": 0.1, "batch_size": 4}


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def context(request, tmp_path_factory):
    folder = make_tiny_writer(tmp_path_factory.mktemp("writers") / request.param, request.param)
    return Context(writer_toys(), {}, language_models={"default": load_language_model(folder, precision="float32")})


def plan_of(context, methods):
    """Each method on rows and a seed of its own; some rows held out."""
    rows = np.arange(len(context.dataset), dtype=np.int64)
    parts = [(rows[rows % 3 != seed % 3], rows[rows % 3 == seed % 3]) for seed in range(len(methods))]
    return [
        Run(Recipe(method), train, test, seed, watch=True, write=seed == 0)
        for seed, (method, (train, test)) in enumerate(zip(methods, parts, strict=True))
    ]


def check(context, plan, slots):
    found = dict(StackedExecutor(slots).execute(plan, context))
    assert sorted(found) == list(range(len(plan)))
    for place, run in enumerate(plan):
        mine, alone = found[place], carry_out(run, context)
        np.testing.assert_allclose(mine.written.nll, alone.written.nll, rtol=CLOSE)
        np.testing.assert_allclose(mine.log.train_loss, alone.log.train_loss, rtol=CLOSE)
        np.testing.assert_allclose(mine.log.validation_loss, alone.log.validation_loss, rtol=CLOSE)
        assert mine.written.texts == alone.written.texts
        assert mine.trainable_parameters == alone.trainable_parameters


@pytest.mark.parametrize(("kind", "slots"), [*((kind, 2) for kind in PROMPTS), (PromptTuningWriter, 16)])
def test_learned_prompts_that_differ_in_everything(context, slots, kind):
    """Length, rate, decay, dropout, batch size, steps, schedule, clipping, rows and seed, each run its own."""
    wide = {"width": 16} if kind is PTuningWriter else {}
    base = kind(tokens=4, **wide, **short)
    methods = [
        base,
        dataclasses.replace(base, tokens=7, rate=1e-2, weight_decay=0.3),
        dataclasses.replace(base, tokens=1, batch_size=7, least_steps=6, most_steps=6, clip_norm=0.01),
        dataclasses.replace(base, dropout=0.3, warmup_share=0.5),
    ]
    plan = plan_of(context, methods)
    assert bundles(plan, context) == ([], [[0, 1, 2, 3]])
    check(context, plan, slots)


@pytest.mark.parametrize("kind", [LoRAWriter, TopLayersWriter, FullWriter])
def test_adapters_and_weights_of_writers(context, kind):
    base = kind(**short)
    other = {"rank": 3, "b_ratio": 4.0, "rslora": True} if kind is LoRAWriter else {"weight_decay": 0.3}
    methods = [base, dataclasses.replace(base, **other), dataclasses.replace(base, dropout=0.3, rate=1e-3)]
    plan = plan_of(context, methods)
    assert bundles(plan, context) == ([], [[0, 1, 2]])
    check(context, plan, 2)


@pytest.mark.parametrize("kind", PROMPTS)
def test_prompts_are_packed_and_their_tensors_are_those_of_the_run_alone(context, kind):
    base = kind(tokens=3, **({"width": 16} if kind is PTuningWriter else {}), **short)
    language_model = context.language_models["default"]
    assert packs(trunk_of(language_model), base)
    plan = plan_of(context, [base, dataclasses.replace(base, tokens=6), dataclasses.replace(base, rate=1e-3)])
    members = [Member(n, Attempt.first(run.recipe.method, context.material(run), None)) for n, run in enumerate(plan)]
    widest = plan[1].recipe.method
    stack = widest.stack(trunk_of(language_model), [widest] * 3, 0)
    for place, fitted in _Training(stack, deque(members), None).run():
        alone = train(plan[place].recipe.method, context.material(plan[place]))
        assert isinstance(alone.model, PackedPrompt)
        mine, theirs = fitted.model.trained(), alone.model.trained()
        assert {name: t.shape for name, t in mine.items()} == {name: t.shape for name, t in theirs.items()}
        for name, tensor in theirs.items():
            assert float((mine[name] - tensor).norm()) <= CLOSE * float(tensor.norm()), name


def test_an_interrupted_prompt_goes_on_where_it_stood(context, tmp_path, monkeypatch):
    monkeypatch.setattr("fewtune.tune.checkpoint.EVERY_SECONDS", 0.0)
    method = PromptTuningWriter(tokens=4, dropout=0.2, **(short | {"least_steps": 6, "most_steps": 6}))
    run = plan_of(context, [method])[0]
    steps = []

    def cut_short():
        steps.append(None)
        if len(steps) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(method, context.material(run), tick=cut_short, checkpoint=tmp_path / "partial.safetensors")
    resumed = train(method, context.material(run), tick=cut_short, checkpoint=tmp_path / "partial.safetensors")
    assert len(steps) < 10, "it went on and did not begin again"
    whole = train(method, context.material(run))
    assert resumed.log.train_loss == whole.log.train_loss
    for name, tensor in whole.model.trained().items():
        assert torch.equal(resumed.model.trained()[name], tensor), name


def test_what_runs_alone(context):
    plan = plan_of(
        context, [LoRAWriter(neftune=5.0), IA3Writer(), LoRAWriter(layers=1), LoRAWriter(), LoRAWriter(rank=2)]
    )
    assert bundles(plan, context) == ([0, 1], [[2], [3, 4]])


def test_memory_is_asked_of_writers_too(context):
    runs = plan_of(context, [PromptTuningWriter(tokens=4), PromptTuningWriter(tokens=40), LoRAWriter()])
    small, long, lora = (need(run.recipe.method, context.material(run)) for run in runs)
    assert 0 < small < long
    assert lora > 0


def test_a_seq2seq_model_is_trained_alone_and_padded(tmp_path):
    folder = make_tiny_writer(tmp_path / "t5", "t5")
    context = Context(writer_toys(), {}, language_models={"default": load_language_model(folder, precision="float32")})
    plan = plan_of(context, [PromptTuningWriter(tokens=3, **short)] * 2)
    assert bundles(plan, context) == ([0, 1], [])


@pytest.mark.parametrize("kind", PROMPTS)
def test_prompts_are_packed_where_products_run_in_bf16_too(context, kind, monkeypatch):
    """The trial against PEFT's model allows for rounding there, and for nothing larger."""
    plain = {"width": 16} if kind is PTuningWriter else {}
    with monkeypatch.context() as patch:
        patch.setenv("FEWTUNE_PRECISION", "bf16")
        detect.cache_clear()
        model = load_language_model(context.language_models["default"].folder, precision="float32")
        found = packs(trunk_of(model), kind(tokens=4, **plain))
    detect.cache_clear()
    assert found
