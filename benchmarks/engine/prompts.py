"""What a step of a learned prompt costs: packed, in a stack, and padded inside PEFT's own model.

python benchmarks/engine/prompts.py [--rows FILE] [--backbone FOLDER] [--out DIR]

The same rows, batches, rates and first prompts for all; ways take turns step by step, so that a busy machine is busy
for all of them. Processor time of one thread, the median and the least of the steps; the first loss of each way, which
must agree. Rows: a file of prompts and completions.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import HERE, machine, write_json

BATCH_SIZE, STACK, STEPS, ROWS = 8, 4, 12, 64
METHODS = ("prompt_tuning", "prefix_tuning", "p_tuning")


def material_of(model: Any, examples: list[Any], seed: int) -> Any:
    """Rows to write, for one run."""
    from fewtune.testing.writer_toys import material_of as material

    return material(model, examples, seed)


def alone(tunable: Any) -> Callable[[np.ndarray], float]:
    """A step of a run by itself, which gives the loss before it."""
    from fewtune.tune.step import optimiser_for, training_step

    optimiser = optimiser_for(tunable)
    tunable.train(True)
    return lambda rows: training_step(tunable, rows, optimiser, factor=0.1, clip_norm=1.0)


def stacked(method: Any, model: Any, examples: list[Any]) -> Callable[[np.ndarray], float]:
    """A step of `STACK` runs, which gives the loss of the first."""
    import torch

    from fewtune.backbones.language.trunk import trunk_of
    from fewtune.tune.optimiser import StackedAdamW

    stack = method.stack(trunk_of(model), [method] * STACK, 0)
    optimiser = StackedAdamW(stack.stacked_groups())
    for slot in range(STACK):
        tunable = stack.enter(slot, method, material_of(model, examples, 0))
        optimiser.enter(slot, tunable.parameter_groups())
        tunable.train(True)

    def step(rows: np.ndarray) -> float:
        losses = stack.losses(dict.fromkeys(range(STACK), rows))
        grads = torch.autograd.grad(torch.stack(list(losses.values())).sum(), optimiser.tensors)
        optimiser.step(grads, dict.fromkeys(range(STACK), 0.1), dict.fromkeys(range(STACK), 1.0))
        return float(losses[0].detach())

    return step


def measure(name: str, model: Any, examples: list[Any]) -> dict[str, Any]:
    """One method, every way."""
    from fewtune.backbones.language.trunk import trunk_of
    from fewtune.methods.generation.packed_prompt import packs
    from fewtune.methods.generation.peft_method import PeftMoving
    from fewtune.methods.generation.tuned import NextTokenTunable
    from fewtune.methods.registry import method_class

    method: Any = method_class(name, "generation")()
    material = material_of(model, examples, 0)
    assert packs(trunk_of(model), method), "this model is trained padded"
    ways = {
        "padded": (alone(NextTokenTunable(method, material, PeftMoving(model, method, 0))), 1),
        "packed": (alone(NextTokenTunable(method, material, method.alone(trunk_of(model), 0))), 1),
        f"stack of {STACK}": (stacked(method, model, examples), STACK),
    }
    seconds, losses = defaultdict(list), defaultdict(list)
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        rows = rng.permutation(len(examples))[:BATCH_SIZE]
        for way, (step, runs) in ways.items():
            started = time.process_time()
            losses[way].append(step(rows))
            seconds[way].append((time.process_time() - started) / runs)
    return {
        way: {
            "milliseconds_a_run_and_step": round(1e3 * float(np.median(seconds[way][1:])), 1),
            "least": round(1e3 * min(seconds[way]), 1),
            "first_loss": round(losses[way][0], 4),
            "last_loss": round(losses[way][-1], 4),
        }
        for way in ways
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=Path("examples/notes.jsonl"))
    parser.add_argument("--backbone", default="default", help="a causal model's folder; the starter when not given")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    from fewtune.backbones.language.load import load_language_model
    from fewtune.backbones.precision import detect
    from fewtune.data import read

    torch.set_num_threads(1)
    examples = list(read(options.rows).examples)[:ROWS]
    model = load_language_model(options.backbone, precision="float32")  # as a fit opens it
    lengths = [model.encode(example).tokens for example in examples]
    found = {name: measure(name, model, examples) for name in METHODS}
    about = machine() | {
        "precision": detect(),
        "backbone": model.name,
        "rows": len(examples),
        "mean_tokens": round(float(np.mean(lengths)), 1),
        "batch_size": BATCH_SIZE,
        "virtual_tokens": 20,
    }
    write_json(options.out / "prompts.json", {"about": about, "methods": found})
    print("| method | way | ms a run and step | least | first loss |\n|---|---|---|---|---|")
    for name, ways in found.items():
        for way, one in ways.items():
            print(f"| {name} | {way} | {one['milliseconds_a_run_and_step']} | {one['least']} | {one['first_loss']} |")


if __name__ == "__main__":
    main()
