"""5 folds × 8 LoRA settings on banking77, 8 rows a class: fewtune against Hugging Face Trainer + PEFT.

python benchmarks/engine/grid.py --system fewtune [--layers top2|all] [--runs N] [--data DIR] [--out DIR]

One system in a fresh process. Everybody gets the same rows, folds, settings, batch size, number of steps, warm-up,
weight decay and gradient clipping, and scores the same held-out rows. The clock starts after imports and the reading of
rows, and runs over loading the model, tokenising, whatever is computed once, training and prediction. The journal
`OUT/grid-LAYERS/SYSTEM.jsonl` gets a line a finished run; runs that are in it are not done again.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measure import DATA, HERE, Journal, PeakMemory, machine, read_rows, skip_without

FOLDS = 5
RATES = (5e-4, 1e-3, 2e-3, 4e-3)
DROPOUTS = (0.0, 0.1)
BATCH_SIZE = 16
EPOCHS = 10
RANK = 8
ALPHA = 16
TARGETS = ("query", "value")
WEIGHT_DECAY = 0.01
WARMUP = 0.1
CLIP = 1.0
ROWS = "banking77/8-0/train.csv"
SYSTEMS = {
    "fewtune": ("fewtune_grid", {}),
    "fewtune-serial": ("fewtune_grid", {"executor": "serial"}),
    "fewtune-forked": ("fewtune_grid", {"executor": "forked"}),
    "trainer-bf16": ("trainer", {"bf16": True}),
    "trainer-bf16-grouped": ("trainer", {"bf16": True, "grouped": True}),
    "trainer-bf16-plain-head": ("trainer", {"bf16": True, "head": "plain"}),
    "trainer-float32": ("trainer", {"bf16": False}),
}


@dataclass(frozen=True)
class Setting:
    """What differs between runs of a fold; the head's rate is the adapter's."""

    rate: float
    lora_dropout: float


@dataclass(frozen=True)
class Cell:
    """One run: its number, fold, rows and setting."""

    number: int
    fold: int
    train: np.ndarray
    test: np.ndarray
    setting: Setting
    seed: int
    epochs: float = EPOCHS

    @property
    def steps(self) -> int:
        """Updates: passes over the rows in full batches."""
        return round(self.epochs * len(self.train) / BATCH_SIZE)


@dataclass(frozen=True)
class Grid:
    """The rows and the runs over them, in the order they are asked for: fold by fold."""

    texts: list[str]
    labels: list[str]
    cells: list[Cell]
    layers: int
    """How many of the highest layers carry adapters; 6 is all of them."""

    @property
    def classes(self) -> list[str]:
        """Distinct labels, sorted."""
        return sorted(set(self.labels))

    @property
    def codes(self) -> np.ndarray:
        """[N] index of each row's class."""
        return np.searchsorted(self.classes, self.labels)


def make_grid(path: Path, layers: int, epochs: float = EPOCHS) -> Grid:
    """The same for every system."""
    from fewtune.data.splits import repeated_folds

    texts, labels = read_rows(path)
    splits = repeated_folds(labels, folds=FOLDS, repeats=1, seed=0)
    settings = [Setting(rate, dropout) for rate in RATES for dropout in DROPOUTS]
    cells = [
        Cell(fold * len(settings) + place, fold, split.train, split.test, setting, fold, epochs)
        for fold, split in enumerate(splits)
        for place, setting in enumerate(settings)
    ]
    return Grid(texts, labels, cells, layers)


def chosen(grid: Grid, runs: int | None, done: set[int]) -> Iterator[Cell]:
    """Runs to do: all, or the first `runs` of a spread over settings and folds; never one that is done."""
    order = grid.cells if runs is None else [grid.cells[number] for number in spread(len(grid.cells), runs)]
    return (cell for cell in order if cell.number not in done)


def spread(count: int, runs: int) -> list[int]:
    """`runs` numbers below `count`, evenly apart and off the ends, so that a quick look meets several settings."""
    return [int((place + 0.5) * count / runs) for place in range(min(runs, count))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", required=True, choices=SYSTEMS)
    parser.add_argument("--layers", choices=("top2", "all"), default="top2")
    parser.add_argument("--runs", type=int, help="a quick look at this many of the 40 runs")
    parser.add_argument("--epochs", type=float, default=EPOCHS, help="a quick look at shorter runs")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    skip_without(options.data / ROWS)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if options.system.startswith("fewtune"):  # as its command line does
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.path.insert(0, str(HERE))
    module, arguments = SYSTEMS[options.system]
    with PeakMemory() as memory:
        system: Any = importlib.import_module(f"systems.{module}")
        grid = make_grid(options.data / ROWS, {"top2": 2, "all": 6}[options.layers], options.epochs)
        journal = Journal(options.out / f"grid-{options.layers}" / f"{options.system}.jsonl")
        cells = list(chosen(grid, options.runs, journal.done))
        if not cells:
            print(f"{options.system}: all of {len(journal.done)} runs were there")
            return
        asked = {"system": options.system, "layers": options.layers, "epochs": options.epochs, "runs_asked": len(cells)}
        journal.open(asked | machine())
        for cell, probs_BC, seconds, more in system.run(grid, cells, **arguments):
            truth_B = grid.codes[cell.test]
            accuracy = float((probs_BC.argmax(1) == truth_B).mean())
            loss = float(-np.log(np.clip(probs_BC[np.arange(len(truth_B)), truth_B], 1e-9, 1)).mean())
            found = {"fold": cell.fold, **asdict(cell.setting), "steps": cell.steps, "accuracy": round(accuracy, 4)}
            journal.finished(cell.number, **found, log_loss=round(loss, 4), seconds=round(seconds, 3), **more)
            print(f"{options.system} run {cell.number}: accuracy {accuracy:.3f}, {seconds:.1f} s", flush=True)
    journal.close(peak_memory_gib=memory.gib)


if __name__ == "__main__":
    main()
