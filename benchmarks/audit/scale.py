"""Time and memory of the whole check but for label errors, at 1,000, 10,000 and 100,000 short rows.

The rows are made: for each class of banking77 a chain of word pairs is walked at random, so that words, lengths (11 on
average) and classes are those of real messages. The chains are short, so at 100,000 rows a fifth of the training rows
repeat another: more work for whatever looks for copies, not less. Eight rows in ten are training rows, one in ten test
rows, one in ten unlabelled. Each size runs in a process of its own, from CSV files to the written page.

Seconds are of the clock and say nothing on a machine with other work; processor time is given beside them. With one
thread it bounds the time on an idle machine of any number of cores.

python benchmarks/audit/scale.py [--data ../shared/data/fewshot] [--rows 1000 10000 100000] [--threads 2]
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ABOUT = "messages to a bank, by what the customer wants"
BAR = {"seconds": 300, "memory_gib": 4}


def chains(path: Path) -> dict[str, dict[str, list[str]]]:
    """Class → word → the words that follow it; the empty word begins and ends a text."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            words = ["", *row["text"].split(), ""]
            label = row.get("label_text") or row["label"]
            for word, after in pairwise(words):
                found[label][word].append(after)
    return found


def rows_from(found: dict[str, dict[str, list[str]]], count: int, *, seed: int) -> list[tuple[str, str]]:
    """Texts walked along the chains, with their class."""
    rng = np.random.default_rng(seed)
    labels = sorted(found)
    rows = []
    while len(rows) < count:
        label = labels[rng.integers(len(labels))]
        words: list[str] = []
        while len(words) < 40:
            follows = found[label][words[-1] if words else ""]
            word = follows[rng.integers(len(follows))]
            if not word:
                break
            words.append(word)
        if len(words) > 2:
            rows.append((" ".join(words), label))
    return rows


def write(folder: Path, rows: list[tuple[str, str]]) -> None:
    """Training, test and unlabelled files."""
    edges = (0, round(0.8 * len(rows)), round(0.9 * len(rows)), len(rows))
    for name, begin, end in zip(("train", "test", "unlabelled"), edges, edges[1:], strict=False):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            kept = rows[begin:end] if name != "unlabelled" else [(text,) for text, _ in rows[begin:end]]
            csv.writer(file).writerows([("text", "label")[: len(kept[0])], *kept])


def looked_at(folder: Path, backbone: str | None) -> dict[str, object]:
    """One whole check, in this process."""
    from fewtune import auditing
    from fewtune.report.result import hardware, versions
    from fewtune.study.progress import Progress

    class Stages(Progress):
        """Seconds of each stage, and of processor time."""

        def __init__(self) -> None:
            self.seconds: dict[str, float] = {}
            self.cpu_seconds: dict[str, float] = {}

        def start(self, title: str, total: int) -> None:
            self.title, self.began, self.cpu_began = title, time.perf_counter(), time.process_time()

        def finish(self, sentence: str = "") -> None:
            self.seconds[self.title] = round(time.perf_counter() - self.began, 2)
            self.cpu_seconds[self.title] = round(time.process_time() - self.cpu_began, 2)

    stages, began = Stages(), time.perf_counter()
    found = auditing.check(
        folder / "train.csv",
        test=folder / "test.csv",
        unlabelled=folder / "unlabelled.csv",
        about=ABOUT,
        backbone=backbone,
        model=False,
        progress=stages,
    )
    checked = time.perf_counter()
    found.write(folder / "out")
    seconds = time.perf_counter() - began
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**20
    return {
        "rows": sum(len(data) for data in found.parts.values()),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "memory_gib": round(peak, 2),
        "stages": stages.seconds | {"Writing": round(seconds - (checked - began), 2)},
        "stages_cpu": stages.cpu_seconds,
        "checks": dict(found.seconds),
        "skipped": dict(found.skipped),
        "failed": dict(found.failed),
        "findings": [finding.what for finding in found.findings],
        "versions": versions(),
        "hardware": hardware(),
    }


def measure(data: Path, rows: int, threads: int, backbone: str | None) -> dict[str, object]:
    """The same in a process of its own, whose peak memory is then that of the check."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, rows_from(chains(data / "banking77/64-0/train.csv"), rows, seed=0))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        environment["OMP_WAIT_POLICY"] = "PASSIVE"  # as the command sets it
        environment["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
        call = [sys.executable, __file__, "--folder", name, *(["--no-backbone"] if backbone is None else [])]
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        return {**json.loads(done.stdout.splitlines()[-1]), "threads": threads}


def draw(results: list[dict], path: Path) -> None:
    """Processor time against rows, both on log scales; linear is a slope of one."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "fewtune"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5))
    rows = [one["rows"] for one in results]
    whole = [one["cpu_seconds"] for one in results]
    axes.plot(rows, whole, "o-", color="black", label="all of it", linewidth=2)
    for name in results[-1]["stages_cpu"]:
        parts = [one["stages_cpu"].get(name, 0) for one in results]
        axes.plot(rows, np.maximum(parts, 1e-2), "o-", label=name.lower(), linewidth=1)
    axes.plot(rows, [whole[-1] * n / rows[-1] for n in rows], ":", color="grey", label="linear")
    axes.axhline(BAR["seconds"], color="firebrick", linewidth=0.8, label="bar: 5 minutes")
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds of processor time")
    axes.set_title(f"fewtune check but for label errors, {results[-1]['threads']} thread(s)")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "../shared/data/fewshot")
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-backbone", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    backbone = None if given.no_backbone else "default"
    if given.folder is not None:
        print(json.dumps(looked_at(given.folder, backbone)))
        return
    if not (given.data / "banking77/64-0/train.csv").exists():
        print(f"Skipped: there is no banking77/64-0/train.csv in {given.data}.")
        return
    results: list[dict] = []
    for rows in given.rows:
        results.append(measure(given.data, rows, given.threads, backbone))
        one = results[-1]
        size = f"{one['rows']:>7} rows  {one['seconds']:7.1f} s, {one['cpu_seconds']:.1f} s of processor time"
        print(f"{size}  {one['memory_gib']:.2f} GiB")
        for name, seconds in sorted({**one["stages"], **one["checks"]}.items(), key=lambda part: -part[1])[:12]:
            print(f"    {seconds:8.2f}  {name}")
        save(results, given.out, "scale-no-backbone" if given.no_backbone else "scale")


def save(results: list[dict], out: Path, name: str) -> None:
    """What has been measured so far, and its plot."""
    out.mkdir(parents=True, exist_ok=True)
    slope = None
    if len(results) > 1:
        before, last = results[-2:]
        times = math.log(last["rows"] / before["rows"])
        slope = round(math.log(last["cpu_seconds"] / before["cpu_seconds"]) / times, 2)
        print(f"exponent of processor time between the last two: {slope}")
    plain = {"bar": BAR, "exponent": slope, "runs": results}
    (out / f"{name}.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    draw(results, out / f"{name}.svg")


if __name__ == "__main__":
    main()
