"""`fewtune split`: which rows to learn from and which to test, written down; a test set that is locked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fewtune.splitting import Written


def split(
    file: Annotated[str, typer.Argument(help="CSV, TSV, JSON, JSON lines, Parquet, Excel, or a Hub dataset name.")],
    text: Annotated[str | None, typer.Option(help="Text column; found by itself when not named.")] = None,
    label: Annotated[str | None, typer.Option(help="Label column; found by itself when not named.")] = None,
    group: Annotated[str | None, typer.Option(help="Column of what may never be on two sides.")] = None,
    pair: Annotated[list[str] | None, typer.Option(help="Column to join to the text; may be repeated.")] = None,
    time: Annotated[
        str | None, typer.Option(help="Column of times: learn from the past, test on the future, fold after fold.")
    ] = None,
    test: Annotated[
        float | None, typer.Option(help="Share of the rows to set aside as a locked test file, such as 0.2.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Test parts.")] = 5,
    repeats: Annotated[int, typer.Option(help="Times the folds are dealt anew.")] = 1,
    nested: Annotated[bool, typer.Option("--nested", help="Folds inside each training part as well.")] = False,
    inner_folds: Annotated[int, typer.Option(help="How many, with --nested.")] = 3,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    format: Annotated[
        str | None, typer.Option(help="Of the files --test writes: csv, tsv, jsonl or parquet; as FILE when not given.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; splits/NAME when not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print splits.json on standard output.")] = False,
) -> None:
    """Split rows: stratified, groups and copies together, by time, repeated, nested.

    Writes splits.json, for `fewtune fit --splits`; with --test also a training file and a test file that is locked:
    each time it is read, that is recorded beside it.
    """
    from fewtune.cli.fit import default_name
    from fewtune.splitting import Wanted, write

    wanted = Wanted(folds, repeats, inner_folds if nested else None, time, seed)
    folder = out or Path("splits") / default_name(file)
    done = write(file, folder, wanted, test=test, format=format, text=text, label=label, group=group, pair=pair)
    for note in done.notes:
        typer.echo(f"  · {note}", err=True)
    if as_json:
        typer.echo(json.dumps(done.splits.to_json(), ensure_ascii=False))
    else:
        show(done)


def show(done: Written) -> None:
    """What was written, for a person."""
    splits = done.splits
    rows, settings = len(splits.ids), splits.settings
    kind = {"time": "by time", "random": "at random"}.get(settings["kind"], settings["kind"])
    sizes = sorted(len(split.test) for split in splits.splits)
    span = f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"
    typer.echo(f"{len(splits.splits)} splits of {rows} rows, {kind}: {span} rows tested in each.")
    for note in splits.notes:
        typer.echo(f"  · {note}")
    for name, path in done.files.items():
        typer.echo(f"{name.replace('_', ' '):<9} {path}")
    if settings["kind"] != "random":
        train = done.files.get("train", Path(str(splits.data["source"])))
        test = f" --test {done.files['test']}" if "test" in done.files else ""
        typer.echo(f"Next:     fewtune fit {train} --splits {done.files['splits']}{test}")
