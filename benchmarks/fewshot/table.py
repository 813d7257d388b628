"""The results as a Markdown table: mean and standard deviation over draws, only of draws that every system has.

python benchmarks/fewshot/table.py [--rows 8] [--systems NAME…] [--results DIR]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from cell import HERE, SETS


def load(results: Path, rows: int) -> dict[str, dict[str, dict[int, dict[str, Any]]]]:
    """System → set → draw → cell."""
    found: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    for path in sorted(results.glob(f"*/*-{rows}-*.json")):
        cell = json.loads(path.read_text())
        found.setdefault(cell["system"], {}).setdefault(cell["set"], {})[cell["draw"]] = cell
    return found


def table(found: dict[str, dict[str, dict[int, dict[str, Any]]]], field: str, digits: int) -> list[str]:
    """One line a system; a set counts where every system has the same draws."""
    shared = {name: sorted(set.intersection(*(set(sets.get(name, {})) for sets in found.values()))) for name in SETS}
    names = [name for name in SETS if shared[name]]
    lines = ["| | " + " | ".join(f"{name} ({len(shared[name])})" for name in names) + " | mean |"]
    lines.append("|---" * (len(names) + 2) + "|")
    for system, sets in found.items():
        values = [[sets[name][draw][field] for draw in shared[name]] for name in names]
        cells = [f"{mean(v):.{digits}f}" + (f" ± {stdev(v):.{digits}f}" if len(v) > 1 else "") for v in values]
        lines.append(f"| {system} | " + " | ".join(cells) + f" | {mean(map(mean, values)):.{digits}f} |")
    return lines


def main() -> None:
    """Accuracy, then seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--systems", nargs="+", help="these alone: one with few draws hides the others' draws")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    found = load(arguments.results, arguments.rows)
    found = {name: sets for name, sets in found.items() if name in (arguments.systems or found)}
    if not found:
        print(f"no results for {arguments.rows} rows a class in {arguments.results}")
        return
    print(f"Accuracy at {arguments.rows} rows a class (draws in brackets)\n")
    print("\n".join(table(found, "accuracy", 3)))
    print("\nSeconds of the fit\n")
    print("\n".join(table(found, "fit_seconds", 0)))


if __name__ == "__main__":
    main()
