"""`fewtune split`: which rows to learn from and which to test, written down; a test set that is locked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewtune.cli import options
from fewtune.cli.given import check_rows, name_of

if TYPE_CHECKING:
    from fewtune.splitting import Written

# Options of this command alone; a test set is drawn here, not read, so --test is its share.
Group = Annotated[str | None, typer.Option(help="Column of what may never be on two sides.")]
Time = Annotated[
    str | None, typer.Option(help="Column of times: learn from the past, test on the future, fold after fold.")
]
Test = Annotated[float | None, typer.Option(help="Share of the rows to set aside as a locked test file, such as 0.2.")]
Folds = Annotated[int, typer.Option(help="Test parts.")]
Repeats = Annotated[int, typer.Option(help="Times the folds are dealt anew.")]
Nested = Annotated[bool, typer.Option("--nested", help="Folds inside each training part as well.")]
InnerFolds = Annotated[int, typer.Option(help="How many, with --nested.")]
Format = Annotated[
    str | None, typer.Option(help="Of the files --test writes: csv, tsv, jsonl or parquet; as FILE when not given.")
]
Out = Annotated[Path | None, options.folder("Folder to write to", unless="splits/NAME")]
AsJson = Annotated[bool, options.printed("splits.json")]


def split(
    file: options.Rows,
    text: options.Text = None,
    label: options.MaybeLabel = None,
    group: Group = None,
    pair: options.Pair = None,
    time: Time = None,
    test: Test = None,
    folds: Folds = 5,
    repeats: Repeats = 1,
    nested: Nested = False,
    inner_folds: InnerFolds = 3,
    seed: options.Seed = 0,
    format: Format = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Split rows: stratified, groups and copies together, by time, repeated, nested.

    Writes splits.json, for `fewtune fit --splits`; with --test also a training file and a test file that is locked:
    each time it is read, that is recorded beside it.
    """
    from fewtune.splitting import Wanted, write

    check_rows(file)
    wanted = Wanted(folds, repeats, inner_folds if nested else None, time, seed)
    folder = out or Path("splits") / name_of(file)
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
    if settings["kind"] != "random" or splits.data.get("task") is not None:
        train = done.files.get("train", Path(str(splits.data["source"])))
        test = f" --test {done.files['test']}" if "test" in done.files else ""
        command = "fit" if splits.data.get("task") is None else "prefer FOLDER"
        typer.echo(f"Next:     fewtune {command} {train} --splits {done.files['splits']}{test}")
