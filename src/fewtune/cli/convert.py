"""`fewtune convert`: rows of one format written in another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fewtune.cli import options

FORMATS = (
    "label-studio, argilla, spacy, prodigy, chat, sharegpt, alpaca, completions, preferences, "
    "preferences-chat, preferences-whole, kto, csv, tsv, jsonl, parquet, "
    "or hub (a folder of `datasets`)"
)
# Options of this command alone; annotation tools have questions where tables have columns.
Rows = Annotated[str, typer.Argument(help="What to read: any file `fit` reads, or a Hub dataset name.")]
Out = Annotated[Path, typer.Argument(help="Where to write.")]
To = Annotated[str | None, typer.Option(help=f"{FORMATS}. By the ending of OUT when not given.")]
Label = Annotated[str | None, typer.Option(help="Label column, or the question whose answers are the label.")]
Group = Annotated[str | None, typer.Option(help="Column of what belongs together.")]
Task = Annotated[
    str | None, typer.Option(help="Read for classification, generation or preference; found by itself when not given.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what stands at OUT.")]
AsJson = Annotated[bool, typer.Option("--json", help="Say what was done as JSON on standard output.")]


def convert(
    file: Rows,
    out: Out,
    to: To = None,
    text: options.Text = None,
    label: Label = None,
    group: Group = None,
    pair: options.Pair = None,
    task: Task = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write rows in another format, and name what that format cannot hold."""
    from fewtune.data.convert import convert as write
    from fewtune.data.convert import refuse_loss
    from fewtune.data.read import read
    from fewtune.errors import UsageError

    if Path(file).exists() and out.exists() and Path(file).samefile(out):
        raise UsageError(f"{out} is the file that is read. Name another.")
    if not overwrite:
        refuse_loss(out)
    dataset = read(file, text=text, label=label, group=group, pair=pair, labelled=None, task=task)  # type: ignore[arg-type]
    for note in dataset.notes:
        typer.echo(f"  · {note}", err=True)
    done = write(dataset, out, to=to, overwrite=overwrite)
    if as_json:
        plain = {"path": str(done.path), "format": done.format, "rows": done.rows, "lost": list(done.lost)}
        typer.echo(json.dumps(plain, ensure_ascii=False))
        return
    typer.echo(f"{done.rows} rows written to {done.path} ({done.format})")
    for sentence in done.lost:
        typer.echo(f"Lost: {sentence}", err=True)
