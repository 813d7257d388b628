"""What every engine benchmark needs: rows, the machine in words, peak memory, a journal that survives a kill."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent
DATA = Path("../shared/data/fewshot")


def read_rows(path: Path) -> tuple[list[str], list[str]]:
    """The `text` and `label` columns of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def skip_without(path: Path) -> None:
    """End the program, with the reason, where the data are absent."""
    if not path.exists():
        print(f"skipped: there is no {path}. Give the folder of the few-shot sets.", file=sys.stderr)
        raise SystemExit(0)


def machine() -> dict[str, Any]:
    """Versions, hardware, threads and what else the machine was doing."""
    import torch

    from fewtune.report.result import hardware, versions

    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions() | {"accelerate": importlib.metadata.version("accelerate")},
        "hardware": hardware(),
        "torch_threads": torch.get_num_threads(),
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("OMP_", "MKL_", "OPENBLAS_", "TOKENIZERS_", "FEWTUNE_PRECISION", "FEWTUNE_DEVICE"))
        },
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


class Journal:
    """One line a finished run, written at once; a run that is in it is never done again.

    A session is one process. The wall time of a system is the sum over its sessions of the time at which the last run
    of each was finished: what a killed session had begun and lost is not in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.lines = list(whole_lines(path))
        self.session = 1 + max((line["session"] for line in self.lines), default=-1)
        self.started, self.cpu = time.perf_counter(), cpu_seconds()

    @property
    def done(self) -> set[int]:
        """Numbers of finished runs."""
        return {line["run"] for line in self.lines if "run" in line}

    def open(self, about: dict[str, Any]) -> None:
        """Say what this session runs on; the clock starts here."""
        self._write({"session": self.session, "about": about})
        self.started, self.cpu = time.perf_counter(), cpu_seconds()

    def finished(self, run: int, **found: Any) -> None:
        """A run is finished."""
        wall = round(time.perf_counter() - self.started, 3)
        self._write({"session": self.session, "run": run, "wall": wall, **found})

    def close(self, **found: Any) -> None:
        """The session is over. Processor seconds tell how far the wall time is other programs' doing."""
        spent = {"wall": round(time.perf_counter() - self.started, 3), "cpu": round(cpu_seconds() - self.cpu, 3)}
        after = round(os.getloadavg()[0], 2)
        self._write({"session": self.session, "closed": True, **spent, "load_average_after": after, **found})

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines.append(line)


def cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Lines of a journal, a torn one passed over."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


WATCHER = """
import sys, time
root, peak = int(sys.argv[1]), 0
def tree(pid):
    yield pid
    try:
        for task in __import__("os").listdir(f"/proc/{pid}/task"):
            for child in open(f"/proc/{pid}/task/{task}/children").read().split():
                yield from tree(int(child))
    except OSError:
        return
def pss(pid):
    try:
        for line in open(f"/proc/{pid}/smaps_rollup"):
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
import os, select
me = os.getpid()
while True:
    peak = max(peak, sum(pss(pid) for pid in tree(root) if pid != me))
    if select.select([sys.stdin], [], [], 0.5)[0]:
        print(peak)
        break
"""


class PeakMemory:
    """Largest memory of this process and its children together, shared pages counted once; looked at twice a second.

    Linux only: `gib` stays None elsewhere.
    """

    gib: float | None = None

    def __enter__(self) -> PeakMemory:
        self.watcher = None
        if Path("/proc/self/smaps_rollup").exists():
            self.watcher = subprocess.Popen(
                [sys.executable, "-S", "-c", WATCHER, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.watcher is not None:
            said = self.watcher.communicate("\n")[0]
            self.gib = round(int(said) / 2**20, 3) if said.strip() else None


@contextmanager
def timed() -> Iterator[list[float]]:
    """A list that holds the seconds of the block once it is left."""
    seconds: list[float] = []
    started = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - started)


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
