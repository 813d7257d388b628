"""`fewtune runs`: what the store holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fewtune.plural import counted


def runs(
    folder: Annotated[Path, typer.Argument(help="A result folder, or the folder that holds them.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List finished runs: of one result folder, or of every one inside a folder, summed by method."""
    from fewtune.errors import UsageError

    folders = [folder] if (folder / FILE).exists() else sorted(p.parent for p in folder.glob(f"*/{FILE}"))
    if not folders:
        raise UsageError(f"{folder} holds no runs. Name a folder that `fewtune fit --out` wrote.")
    for one in folders:
        found, damaged = lines(one)
        if as_json:
            for line in found:
                typer.echo(json.dumps(line, ensure_ascii=False))
        else:
            typer.echo(table(one, found))
        if damaged:
            said = counted(damaged, "line is damaged and was", "lines are damaged and were")
            typer.echo(f"  · {one / FILE}: {said} passed over; the same fit run again does those runs anew.", err=True)


WHOLE = 0.85
"""Share of a recipe's most training rows from which on a run learnt from a whole training side, not from a part."""

FILE = "runs.jsonl"

NEEDED = {
    "method": str,
    "backbone": str,
    "recipe": str,
    "train_rows": int,
    "test_rows": int,
    "accuracy": float,
    "seconds": float,
}


def lines(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """Every finished run, its loss curve left out, the last of those done anew; and how many lines are damaged."""
    from fewtune.study.store import read_lines

    with (folder / FILE).open("rb") as file:
        written = sum(bool(line.strip()) for line in file)
    whole = [
        line
        for line in read_lines(folder / FILE)
        if all(isinstance(line.get(key), kind) for key, kind in NEEDED.items())
    ]
    runs = {line["key"]: {key: value for key, value in line.items() if key != "log"} for line in whole}
    return [{"study": folder.name, **run} for run in runs.values()], written - len(whole)


def table(folder: Path, found: list[dict[str, Any]]) -> str:
    """Runs of a folder by rows, method and recipe; the score is of those that learnt from a whole training side."""
    grouped: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for line in found:
        key = (str(line.get("data", "")), line["method"], line["backbone"], line["recipe"])
        grouped.setdefault(key, []).append(line)
    kinds = list(dict.fromkeys(data for data, *_ in grouped))
    out = [f"{folder}: {counted(sum(map(len, grouped.values())), 'finished run')}"]
    for data in kinds:
        if len(kinds) > 1:
            out.append(f" on rows {data or 'of before'}")
        out += [_row(members) for (of, *_), members in grouped.items() if of == data]
    return "\n".join(out)


def _row(members: list[dict[str, Any]]) -> str:
    """Of the runs of one recipe on the same rows."""
    method, backbone, recipe = (str(members[0][key]) for key in ("method", "backbone", "recipe"))
    whole = WHOLE * max(member["train_rows"] for member in members)
    full = [member for member in members if member["train_rows"] >= whole]
    scored = [member for member in full if member["test_rows"]]
    tested = sum(member["test_rows"] for member in scored)
    right = sum(member["accuracy"] * member["test_rows"] for member in scored)
    mean = f"{right / tested:.3f}" if tested else "–"
    seconds = sum(member["seconds"] for member in members)
    parts = len(members) - len(full)
    beside = f"  and {parts} on parts of the rows" if parts else ""
    return (
        f"  {method:<14} {Path(backbone).name:<16.16} {recipe}  {len(full):>4} runs  "
        f"accuracy {mean}  {seconds:>7.1f} s{beside}"
    )
