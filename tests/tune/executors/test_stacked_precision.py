"""A stack in half precision, and to the last bit."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

from fewtune.backbones.load import load_encoder
from fewtune.backbones.precision import detect
from fewtune.methods.lora import LoRA
from fewtune.methods.prompt_tuning import PromptTuning
from fewtune.methods.top_layers import TopLayers
from fewtune.recipe import Recipe
from fewtune.testing.executors import toy_context
from fewtune.tune.executors.stacked import StackedExecutor
from fewtune.tune.run import Run, carry_out

IN_BF16 = 2e-2
"""Relative. Where kernels round a row by what is beside it, a last bit of bf16 is 4e-3, and steps add up."""


@pytest.fixture
def half_precision(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("FEWTUNE_PRECISION", "bf16")
        detect.cache_clear()
        assert detect() == "bf16"
        yield
    detect.cache_clear()


def test_in_bf16_a_run_in_a_stack_is_near_the_run_alone_on_any_machine(half_precision, tiny_folders):
    context = toy_context(load_encoder(tiny_folders("bert")))
    rows = np.arange(len(context.dataset), dtype=np.int64)
    base = LoRA(layers=2, least_steps=6, epochs=0.01)
    methods = [base, dataclasses.replace(base, rate=3e-3, rank=3), PromptTuning(least_steps=6, epochs=0.01)]
    plan = [Run(Recipe(method), rows[4:], rows[:4], seed) for seed, method in enumerate(methods * 2)]
    for place, found in StackedExecutor(4).execute(plan, context):
        alone = carry_out(plan[place], context)
        np.testing.assert_allclose(found.log.train_loss, alone.log.train_loss, rtol=IN_BF16)
        np.testing.assert_allclose(found.probs, alone.probs, atol=IN_BF16)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("kind", [LoRA, TopLayers, PromptTuning], ids=lambda kind: kind.name)
def test_on_a_cpu_a_stack_gives_the_bits_of_the_run_alone(kind, precision, tmp_path):
    """On the default backbone, whose layers are wide enough for the kernels of real ones, with dropout and without."""
    code = f"""
import dataclasses, numpy as np
from {kind.__module__} import {kind.__name__} as Kind
from fewtune.backbones.load import load_encoder
from fewtune.recipe import Recipe
from fewtune.testing.executors import toy_context
from fewtune.tune.executors.stacked import StackedExecutor
from fewtune.tune.run import Run, carry_out
context = toy_context(load_encoder())
rows = np.arange(len(context.dataset), dtype=np.int64)
base = Kind(least_steps=8, epochs=0.01)
methods = [base, dataclasses.replace(base, rate=1e-3, batch_size=5), dataclasses.replace(base, dropout=0.0), base, base]
plan = [Run(Recipe(m), rows[rows % 5 != s], rows[rows % 5 == s], s) for s, m in enumerate(methods)]
alone = [carry_out(run, context) for run in plan]
for slots in (2, 5):
    for place, found in StackedExecutor(slots).execute(plan, context):
        assert found.log.train_loss == alone[place].log.train_loss, (slots, place)
        assert np.array_equal(found.probs, alone[place].probs), (slots, place)
"""
    environment = {**os.environ, "FEWTUNE_PRECISION": precision, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
