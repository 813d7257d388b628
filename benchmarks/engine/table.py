"""The grid's journals as a table: wall time, ratios, memory, accuracy of every system.

python benchmarks/engine/table.py [--results DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from measure import HERE, whole_lines

RUNS = 40


def summary(path: Path) -> dict[str, Any]:
    """One system's journal in numbers."""
    lines = list(whole_lines(path))
    runs = list({line["run"]: line for line in lines if "run" in line}.values())
    closed = {line["session"]: line for line in lines if line.get("closed")}
    sessions = sorted({line["session"] for line in lines if "run" in line})
    walls = [
        closed[session]["wall"]
        if session in closed
        else max(line["wall"] for line in runs if line["session"] == session)
        for session in sessions
    ]
    opened = [line["about"] for line in lines if "about" in line and line["session"] in sessions]
    memory = [line["peak_memory_gib"] for line in closed.values() if line.get("peak_memory_gib")]
    return {
        "system": path.stem,
        "runs": len(runs),
        "sessions": len(sessions),
        "wall": sum(walls),
        "cpu": sum(line["cpu"] for line in closed.values()) if len(closed) >= len(sessions) else None,
        "accuracy": sum(run["accuracy"] for run in runs) / max(1, len(runs)),
        "log_loss": sum(run["log_loss"] for run in runs) / max(1, len(runs)),
        "steps": sum(run["steps_done"] for run in runs) / max(1, len(runs)),
        "memory": max(memory, default=None),
        "load": max((about["load_average_before"] for about in opened), default=None),
        "numbers": {run["run"] for run in runs},
    }


def per_run(found: dict[str, Any]) -> float:
    """Wall seconds a run, what is computed once shared out."""
    return float(found["wall"]) / found["runs"]


def rows(found: list[dict[str, Any]]) -> list[str]:
    """Markdown, the fastest system first."""
    found = sorted(found, key=per_run)
    ours = next((one for one in found if one["system"] == "fewtune"), None)
    lines = [
        "| system | runs | wall, s | s a run | times fewtune | processor, s | accuracy | log loss | steps | peak, GiB |"
        " load before |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        times = "–" if ours is None else f"{per_run(one) / per_run(ours):.2f}"
        wall = f"{one['wall']:.0f}" + (" (resumed)" if one["sessions"] > 1 else "")
        cells = [one["system"], one["runs"], wall, f"{per_run(one):.2f}", times, shown(one["cpu"], ".0f")]
        cells += [f"{one['accuracy']:.4f}", f"{one['log_loss']:.3f}", f"{one['steps']:.0f}"]
        cells += [shown(one["memory"], ".2f"), shown(one["load"], ".2f")]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def shown(value: float | None, form: str) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def remarks(found: list[dict[str, Any]]) -> list[str]:
    """What keeps the table from meaning what it seems to."""
    said = []
    partial = [one for one in found if one["runs"] < RUNS]
    if partial:
        names = ", ".join(f"{one['system']} ({one['runs']})" for one in partial)
        said.append(
            f"Not all of {RUNS} runs: {names}. Seconds a run are extrapolated from these, with what is computed once "
            "shared among fewer: a quick look, not a result."
        )
    if len({frozenset(one["numbers"]) for one in found}) > 1:
        said.append("The systems did not all do the same runs: accuracies cannot be compared.")
    if any((one["load"] or 0) > 0.5 for one in found):
        said.append("Other programs were running when a system began: the ratios are not to be quoted.")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    results = parser.parse_args().results
    for layers in ("top2", "all"):
        journals = sorted((results / f"grid-{layers}").glob("*.jsonl"))
        found = [one for one in map(summary, journals) if one["runs"]]
        if not found:
            continue
        print(f"LoRA on {'the top two layers' if layers == 'top2' else 'all layers'}\n")
        print("\n".join(rows(found)))
        print("".join(f"\n{remark}" for remark in remarks(found)) + "\n")


if __name__ == "__main__":
    main()
