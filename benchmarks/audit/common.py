"""What the benchmarks of checks share: the few-shot sets, the usual options, a result with versions and hardware."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data" / "fewshot"


def options_of(doc: str, out: str) -> argparse.ArgumentParser:
    """The folder of the sets and the file to write; a benchmark adds its own.

    Parameters
    ----------
    doc : of the benchmark; its first line is shown.
    out : name of the file to write when none is given.
    """
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=HERE / out)
    return parser


def skip_without(folder: Path, sets: Sequence[str] = ()) -> None:
    """End the program, with the reason, where the few-shot sets are absent."""
    missing = [name for name in sets if not (folder / name / "test.csv").exists()]
    if missing or not folder.is_dir():
        lacking = f"has no {', '.join(missing)}" if missing else "is not there (the few-shot sets)"
        print(f"skipped: {folder} {lacking}", file=sys.stderr)
        raise SystemExit(0)


def heap(folder: Path) -> dict[str, str]:
    """Every distinct text of a set, with its label."""
    found: dict[str, str] = {}
    for path in [*sorted(folder.glob("64-*/train.csv")), folder / "test.csv"]:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["text"], row["label"])
    return found


def write(path: Path, found: Mapping[str, Any]) -> None:
    """What was found, with versions and hardware."""
    from fewtune.report.result import hardware, versions

    plain = {"versions": versions(), "hardware": hardware(), **found}
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
