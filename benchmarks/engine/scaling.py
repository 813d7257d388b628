"""The time for 1, 4, 16 and 64 runs by each executor, drawn, with a profile that says where it goes.

python benchmarks/engine/scaling.py [--data DIR] [--out DIR] [--counts 1,4,16,64] [--steps 40]

Runs are LoRA on the top two layers, banking77 with 8 rows a class, folds and settings in turn as in grid.py, `--steps`
updates each. Everything that is computed once (prefix, embeddings) is there before the clock starts: what is asked is
how a further run scales, not what the first one sets up. The marginal cost is that of a run beyond the last but one
count, as a share of a run alone. On a GPU the same script runs there; workers are forked on CPUs only.

Writes scaling-DEVICE.json and scaling-DEVICE.svg.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any

from grid import ROWS, make_grid
from measure import DATA, HERE, PeakMemory, cpu_seconds, machine, skip_without, write_json

COUNTS = (1, 4, 16, 64)
STACKS = (1, 2, 4, 8, 16)
PROFILED = (1, 8)
OPS_NAMED = 14


def executors() -> dict[str, Any]:
    """By name, those that can work here."""
    from fewtune.tune.executors.forked import ForkedExecutor, can_fork, usable_cores
    from fewtune.tune.executors.serial import SerialExecutor
    from fewtune.tune.executors.stacked import StackedExecutor

    found: dict[str, Any] = {"serial": SerialExecutor()}
    if can_fork() and usable_cores() > 1:
        found[f"forked, {usable_cores()} workers"] = ForkedExecutor()
    return found | {f"stacked, K = {slots}": StackedExecutor(slots) for slots in STACKS}


def plan_of(grid: Any, count: int, steps: int) -> list[Any]:
    """`count` runs; beyond forty, with other seeds."""
    from systems.fewtune_grid import method

    from fewtune.recipe import Recipe
    from fewtune.tune.run import Run

    runs = []
    for number in range(count):
        cell = grid.cells[number % len(grid.cells)]
        short = dataclasses.replace(method(grid.layers, cell), least_steps=steps, most_steps=steps)
        runs.append(Run(Recipe(short), cell.train, cell.test, cell.seed + 100 * (number // len(grid.cells))))
    return runs


def timed(executor: Any, plan: list[Any], context: Any) -> dict[str, Any]:
    """One plan by one executor."""
    started, cpu = time.perf_counter(), cpu_seconds()
    finished = sum(1 for _ in executor.execute(plan, context))
    assert finished == len(plan)
    return {"seconds": round(time.perf_counter() - started, 3), "cpu": round(cpu_seconds() - cpu, 3)}


def profile(slots: int, grid: Any, context: Any, steps: int) -> dict[str, Any]:
    """Where the time of a stack goes: milliseconds a run and step by operation, its own time without what it calls."""
    import torch

    from fewtune.tune.executors.stacked import StackedExecutor

    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    plan = plan_of(grid, slots, steps)
    with torch.profiler.profile(activities=activities) as seen:
        for _ in StackedExecutor(slots).execute(plan, context):
            pass
    on_gpu = torch.cuda.is_available()
    parts = {
        part.key: part.self_device_time_total if on_gpu else part.self_cpu_time_total for part in seen.key_averages()
    }
    unit = 1000 * slots * steps
    largest = sorted(parts.items(), key=lambda item: -item[1])
    named = {name: round(micros / unit, 4) for name, micros in largest[:OPS_NAMED]}
    return {
        "all": round(sum(parts.values()) / unit, 4),
        **named,
        "others": round(sum(m for _, m in largest[OPS_NAMED:]) / unit, 4),
    }


def marginal(found: dict[int, dict[str, Any]]) -> float | None:
    """A run's cost between the last two counts, as a share of one run alone."""
    counts = sorted(found)
    if len(counts) < 2 or counts[0] != 1:
        return None
    last, before = found[counts[-1]]["seconds"], found[counts[-2]]["seconds"]
    return round((last - before) / (counts[-1] - counts[-2]) / found[1]["seconds"], 3)


def draw(results: dict[str, dict[int, dict[str, Any]]], title: str, path: Path) -> None:
    """Seconds by number of runs, both on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "fewtune"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5))
    for name, found in results.items():
        counts = sorted(found)
        axes.plot(counts, [found[count]["seconds"] for count in counts], marker="o", markersize=3, label=name)
    every = sorted({count for found in results.values() for count in found})
    if "serial" in results and 1 in results["serial"]:
        one = results["serial"][1]["seconds"]
        axes.plot(every, [one * count for count in every], linestyle=":", color="grey", label="as many times one run")
    axes.set(xscale="log", yscale="log", xlabel="runs", ylabel="seconds", title=title)
    axes.set_xticks(every, [str(count) for count in every])
    axes.minorticks_off()
    axes.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--executors", help="a part of the names, such as stacked")
    options = parser.parse_args()
    skip_without(options.data / ROWS)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.path.insert(0, str(HERE))
    from systems.fewtune_grid import context_of

    from fewtune.backbones.precision import device

    grid = make_grid(options.data / ROWS, layers=2)
    context = context_of(grid)
    counts = [int(count) for count in options.counts.split(",")]
    about = machine()
    first = plan_of(grid, 1, 2)
    first[0].recipe.method.warm(context.encoders["default"], context.dataset.texts)
    timed(executors()["serial"], first, context)  # libraries loaded, kernels chosen
    results: dict[str, dict[int, dict[str, Any]]] = {}
    with PeakMemory() as memory:
        for name, executor in executors().items():
            if options.executors and options.executors not in name:
                continue
            for count in counts:
                found = timed(executor, plan_of(grid, count, options.steps), context)
                results.setdefault(name, {})[count] = found
                print(f"{name}: {count} runs in {found['seconds']:.1f} s", flush=True)
    profiles = {f"K = {slots}": profile(slots, grid, context, min(options.steps, 20)) for slots in PROFILED}
    about["load_average_after"] = round(os.getloadavg()[0], 2)
    shares = {name: marginal(found) for name, found in results.items()}
    kind = device().type
    write_json(
        options.out / f"scaling-{kind}.json",
        {
            "about": about,
            "steps": options.steps,
            "results": results,
            "marginal_share": shares,
            "profile_ms_a_run_and_step": profiles,
            "peak_memory_gib": memory.gib,
        },
    )
    draw(
        results,
        f"{options.steps} steps of LoRA, {about['hardware']['cpu']}, {kind}",
        options.out / f"scaling-{kind}.svg",
    )
    for name, share in shares.items():
        print(f"{name}: a further run costs {'–' if share is None else f'{share:.0%}'} of the first")


if __name__ == "__main__":
    main()
