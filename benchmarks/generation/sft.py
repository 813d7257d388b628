"""The same tuning by fewtune and by TRL's SFTTrainer with PEFT: the same validation loss, in what time and memory?

LoRA on every linear layer of the starter, on rows of rnnlg_restaurant, loss on the completion alone. Everybody gets the
same rows, chat template, batches in the same order, rank, rate, schedule, clipping and number of steps. Each run is a
process of its own; the systems alternate, so that what the machine does meanwhile meets all. The clock of a run starts
after imports and the reading of rows: `load` is opening the model, `train` is tokenising, building and every step,
`evaluate` the validation rows in each system's own way. That the tuned models are equally good is judged by one
function for all, in float32, after the clock has stopped. Memory is the process's largest, imports included.

    python benchmarks/generation/sft.py [DATA] [--repeats 3] [--threads 2] [--systems ...] [--out FILE]
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from cells import (  # noqa: E402
    DATA,
    RESULTS,
    SET,
    Cells,
    drawn,
    fingerprint_of_starter,
    machine,
    now,
    peak_mib,
    rows_of,
    say,
    skip_without,
    starter,
)

RANK, ALPHA, CLIP, WARMUP = 16, 32, 1.0, 0.1
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "fewtune": ("fewtune_sft", {}),
    "trl-bf16": ("trl_sft", {"bf16": True, "weights": "float32", "checkpointing": False}),
    "trl-bf16-weights": ("trl_sft", {"bf16": True, "weights": "bfloat16", "checkpointing": False}),
    "trl-float32": ("trl_sft", {"bf16": False, "weights": "float32", "checkpointing": False}),
    "trl-defaults": ("trl_sft", {"bf16": True, "weights": "float32", "checkpointing": True}),
}
"""Of TRL: autocast to bf16 over float32 weights (its documented way); weights in bf16 too; no bf16 at all, since on
small models autocast may cost more than it gives; and its defaults, gradient checkpointing with them."""
MARK = "RESULT "


@dataclass(frozen=True)
class Job:
    """What everybody does."""

    train: list[dict[str, str]]
    validation: list[dict[str, str]]
    folder: str
    seed: int
    epochs: float
    rate: float
    batch_size: int

    @property
    def steps(self) -> int:
        """Updates."""
        return int(np.ceil(self.epochs * len(self.train) / self.batch_size))


def batches(job: Job) -> Iterator[list[int]]:
    """Rows of each step, as fewtune's engine draws them."""
    rng, queue = np.random.default_rng(job.seed), np.zeros(0, dtype=np.int64)
    for _ in range(job.steps):
        while len(queue) < job.batch_size:
            queue = np.concatenate([queue, rng.permutation(len(job.train))])
        yield queue[: job.batch_size].tolist()
        queue = queue[job.batch_size :]


class Stopwatch:
    """Seconds of named parts, and processor seconds of all threads: the two tell how far others were in the way."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        started, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds[part] = round(time.perf_counter() - started, 4)
        self.processor[part] = round(time.process_time() - cpu, 4)


def judged(model: Any, tokenizer: Any, rows: Sequence[dict[str, str]]) -> float:
    """Nats a token of the completions and what ends them: one row at a time, in float32, by transformers alone."""
    import torch

    model, nats, count = model.float().eval(), 0.0, 0
    for row in rows:
        said = [{"role": "user", "content": row["prompt"]}]
        prompt = tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=False)
        whole = tokenizer.apply_chat_template(
            [*said, {"role": "assistant", "content": row["completion"]}], return_dict=False
        )
        assert whole[: len(prompt)] == prompt
        with torch.no_grad():
            logits_TV = model(input_ids=torch.tensor([whole])).logits[0, len(prompt) - 1 : -1]
        wanted = torch.tensor(whole[len(prompt) :])
        nats += float(torch.nn.functional.cross_entropy(logits_TV, wanted, reduction="sum"))
        count += len(wanted)
    return nats / count


def child(name: str, job: Job, threads: int) -> dict[str, Any]:
    """One run, in this process."""
    import torch
    from transformers import AutoTokenizer

    torch.set_num_threads(threads)
    module, arguments = SYSTEMS[name]
    system = importlib.import_module(f"systems.{module}")
    before, watch = peak_mib(), Stopwatch()
    tuned, found = system.run(job, watch, **arguments)
    about = {
        "seconds": watch.seconds,
        "processor_seconds": watch.processor,
        "peak_memory_mib": peak_mib(),
        "memory_after_imports_mib": before,
    }
    loss = judged(tuned, AutoTokenizer.from_pretrained(job.folder), job.validation)
    return found | about | {"validation_loss": round(loss, 5), "threads": torch.get_num_threads()}


def in_a_process(options: argparse.Namespace, name: str, repeat: int) -> dict[str, Any]:
    """A run in a fresh process with as many threads as asked."""
    own = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    own |= {variable: str(options.threads) for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, __file__, str(options.data), "--run", name, "--seed", str(repeat)]
    for setting in ("rows", "validation", "epochs", "rate", "batch-size", "threads"):
        command += [f"--{setting}", str(getattr(options, setting.replace("-", "_")))]
    started = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **own}, stdout=subprocess.PIPE, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        raise SystemExit(f"{name} failed with exit code {done.returncode}")
    found: dict[str, Any] = json.loads(lines[-1].removeprefix(MARK))
    return found | {"process_seconds": round(time.perf_counter() - started, 3)}


def summary(cells: Cells, names: Sequence[str], repeats: int) -> dict[str, Any]:
    """Medians of each system, and each against fewtune: paired by repeat."""
    table: dict[str, Any] = {}
    for name in names:
        found = [cells[f"{name} {repeat}"] for repeat in range(repeats) if f"{name} {repeat}" in cells]
        if not found:
            continue
        table[name] = {
            "runs": len(found),
            "validation_loss": round(float(np.mean([one["validation_loss"] for one in found])), 5),
            "seconds": {part: median(one["seconds"][part] for one in found) for part in found[0]["seconds"]},
            "seconds_load_and_train": median(_seconds(one) for one in found),
            "peak_memory_mib": median(one["peak_memory_mib"] for one in found),
        }
    for name in table:
        pairs = [
            (cells[f"{name} {repeat}"], cells[f"fewtune {repeat}"])
            for repeat in range(repeats)
            if f"{name} {repeat}" in cells and f"fewtune {repeat}" in cells
        ]
        if name != "fewtune" and pairs:
            table[name]["times_fewtunes_seconds"] = round(median(_seconds(a) / _seconds(b) for a, b in pairs), 3)
            table[name]["times_fewtunes_training"] = round(
                median(a["seconds"]["train"] / b["seconds"]["train"] for a, b in pairs), 3
            )
            losses = [(a["validation_loss"], b["validation_loss"]) for a, b in pairs]
            table[name]["loss_over_fewtunes"] = round(float(np.mean([a / b - 1 for a, b in losses])), 5)
    return table


def _seconds(cell: dict[str, Any]) -> float:
    return round(cell["seconds"]["load"] + cell["seconds"]["train"], 4)


def main() -> int:
    """Run what is not done yet, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--validation", type=int, default=300)
    parser.add_argument("--epochs", type=float, default=12.0)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--out", type=Path, default=RESULTS / "sft.json")
    parser.add_argument("--run", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    skip_without(options.data / SET)
    if options.run:
        print(MARK + json.dumps(child(options.run, job_of(options), options.threads)))
        return 0
    if importlib.util.find_spec("trl") is None:
        print("skipped: TRL is not installed. Install it with: pip install 'fewtune[prefer]'")
        return 0
    about = {"set": SET, "rank": RANK, "alpha": ALPHA, "clip": CLIP, "warmup": WARMUP, "threads": options.threads}
    about |= {name: getattr(options, name) for name in ("rows", "validation", "epochs", "rate", "batch_size")}
    about["starter"] = fingerprint_of_starter()
    cells = Cells(options.out, about)
    for repeat in range(options.repeats):
        for name in options.systems:
            if f"{name} {repeat}" not in cells:
                cells.keep(f"{name} {repeat}", now() | in_a_process(options, name, repeat))
            one = cells[f"{name} {repeat}"]
            told = f"{one['seconds']}, loss {one['validation_loss']}, {one['peak_memory_mib']:.0f} MiB"
            say(f"{name} {repeat}: {told}")
    cells.write(machine=_machine(options), summary=summary(cells, list(SYSTEMS), options.repeats))
    print(json.dumps(cells.plain["summary"], indent=1))
    return 0


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    about = machine()
    about["versions"] |= {name: importlib.metadata.version(name) for name in ("trl", "accelerate", "datasets")}
    return about | {"threads": options.threads}


def job_of(options: argparse.Namespace) -> Job:
    """Rows by the seed."""
    folder = options.data / SET
    train = drawn(rows_of(folder, "train"), options.rows, options.seed)
    validation = rows_of(folder, "valid")[: options.validation]
    return Job(train, validation, str(starter()), options.seed, options.epochs, options.rate, options.batch_size)


if __name__ == "__main__":
    sys.exit(main())
