"""`fewtune runs`: what the store holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def runs(
    folder: Annotated[Path, typer.Argument(help="A result folder, or the folder that holds them.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List finished runs: of one result folder, or of every one inside a folder, summed by method."""
    from fewtune.errors import UsageError

    folders = [folder] if (folder / "runs.jsonl").exists() else sorted(p.parent for p in folder.glob("*/runs.jsonl"))
    if not folders:
        raise UsageError(f"{folder} holds no runs. Name a folder that `fewtune fit --out` wrote.")
    for one in folders:
        if as_json:
            for line in lines(one):
                typer.echo(json.dumps(line, ensure_ascii=False))
        else:
            typer.echo(table(one))


NEEDED = {"method": str, "backbone": str, "recipe": str, "test_rows": int, "accuracy": float, "seconds": float}


def lines(folder: Path) -> list[dict[str, Any]]:
    """Every finished run, its loss curve left out; damaged lines are passed over."""
    from fewtune.study.store import read_lines

    return [
        {"study": folder.name, **{key: value for key, value in line.items() if key != "log"}}
        for line in read_lines(folder / "runs.jsonl")
        if all(isinstance(line.get(key), kind) for key, kind in NEEDED.items())
    ]


def table(folder: Path) -> str:
    """Runs of a folder by method and recipe."""
    grouped: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for line in lines(folder):
        grouped.setdefault((line["method"], line["backbone"], line["recipe"]), []).append(line)
    out = [f"{folder}: {sum(map(len, grouped.values()))} finished runs"]
    for (method, backbone, recipe), members in grouped.items():
        scored = [m["accuracy"] for m in members if m["test_rows"]]
        mean = f"{sum(scored) / len(scored):.3f}" if scored else "–"
        seconds = sum(m["seconds"] for m in members)
        out.append(
            f"  {method:<14} {Path(backbone).name:<16.16} {recipe}  {len(members):>4} runs  "
            f"accuracy {mean}  {seconds:>7.1f} s"
        )
    return "\n".join(out)
