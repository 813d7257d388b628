"""The grid by fewtune: one plan of runs, one executor, everything that is shared computed once and counted."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch  # noqa: F401 -- imported before the clock starts, as for the others
import transformers  # noqa: F401
from grid import ALPHA, BATCH_SIZE, CLIP, RANK, TARGETS, WARMUP, WEIGHT_DECAY, Cell, Grid

from fewtune.backbones.load import load_encoder
from fewtune.data.base import Dataset, Example
from fewtune.methods.base import Material
from fewtune.methods.lora import LoRA
from fewtune.recipe import Recipe
from fewtune.study.evaluator import default_executor
from fewtune.tune.executors.base import Executor
from fewtune.tune.executors.forked import ForkedExecutor
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.run import Context, Run


@dataclass(frozen=True)
class AllRowsLoRA(LoRA):
    """LoRA that spares no row to stop early by: the peers train on every row to the end, and so does this."""

    def validation_share(self, material: Material) -> float:
        return 0.0


def method(layers: int, cell: Cell) -> LoRA:
    """The method of a run."""
    return AllRowsLoRA(
        layers=layers,
        targets=TARGETS,
        rank=RANK,
        alpha=ALPHA,
        epochs=cell.epochs,
        batch_size=BATCH_SIZE,
        rate=cell.setting.rate,
        head_rate=cell.setting.rate,
        lora_dropout=cell.setting.lora_dropout,
        weight_decay=WEIGHT_DECAY,
        warmup_share=WARMUP,
        clip_norm=CLIP,
        least_steps=1,
        most_steps=10**6,
    )


def executors() -> dict[str, Any]:
    """By name."""
    return {"default": default_executor, "forked": ForkedExecutor, "serial": SerialExecutor}


def context_of(grid: Grid) -> Context:
    """The rows and the backbone."""
    rows = [
        Example(text=text, label=label, id=str(number))
        for number, (text, label) in enumerate(zip(grid.texts, grid.labels, strict=True), 1)
    ]
    return Context(Dataset(tuple(rows)), {"default": load_encoder()})


def run(
    grid: Grid, cells: Sequence[Cell], *, executor: str = "default"
) -> Iterator[tuple[Cell, np.ndarray, float, dict[str, Any]]]:
    """Each run's held-out probabilities as it is finished; whatever fewtune keeps on disk begins empty."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["FEWTUNE_CACHE"] = cache
        context = context_of(grid)
        plan = [Run(Recipe(method(grid.layers, cell)), cell.train, cell.test, cell.seed) for cell in cells]
        chosen: Executor = executors()[executor]()
        for place, outcome in chosen.execute(plan, context):
            assert outcome.log is not None
            log = outcome.log
            more = {
                "steps_done": len(log.steps),
                "first_loss": round(float(np.mean(log.train_loss[:5])), 4),
                "last_loss": round(float(np.mean(log.train_loss[-5:])), 4),
                "trainable_parameters": outcome.trainable_parameters,
                "reseeded": log.reseeded,
            }
            yield cells[place], outcome.probs, outcome.seconds, more
