"""`fewtune study grid`: which settings of a method are worth having."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fewtune.errors import UsageError


def grid(
    file: Annotated[str, typer.Argument(help="CSV, TSV, JSON, JSON lines, Parquet, Excel, or a Hub dataset name.")],
    method: Annotated[str, typer.Option(help="Method whose settings are tried: lora, contrastive, probe, …")],
    settings: Annotated[
        list[str], typer.Option("--set", help="A setting and its values, such as rate=1e-3,3e-3; may be repeated.")
    ],
    halving: Annotated[
        bool,
        typer.Option("--halving/--no-halving", help="Judge no further what is clearly behind on the first splits."),
    ] = True,
    margin: Annotated[float, typer.Option(help="A difference in accuracy within which nothing is dropped.")] = 0.01,
    risk: Annotated[float, typer.Option(help="Largest probability that the truly best setting is dropped.")] = 0.05,
    text: Annotated[str | None, typer.Option(help="Text column; found by itself when not named.")] = None,
    pair: Annotated[list[str] | None, typer.Option(help="Column to join to the text; may be repeated.")] = None,
    label: Annotated[str | None, typer.Option(help="Label column; found by itself when not named.")] = None,
    group: Annotated[str | None, typer.Option(help="Column of what may never be split across folds.")] = None,
    unlabelled: Annotated[str | None, typer.Option(help="File of texts without labels, to learn from.")] = None,
    backbone: Annotated[str, typer.Option(help="Encoder folder or Hub name.")] = "default",
    template: Annotated[str | None, typer.Option(help="JSON file of a template, or a layout.")] = None,
    budget: Annotated[str, typer.Option(help="Time to spend: 90s, 15m, 1h30m, or none.")] = "none",
    splits: Annotated[Path | None, typer.Option(help="Judge on the splits that `fewtune split` wrote.")] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validation folds; 5 when not given.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Times the folds are dealt anew.")] = None,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    executor: Annotated[
        str, typer.Option(help="Who carries out the runs: auto, serial, forked, stacked or ray.")
    ] = "auto",
    ray_address: Annotated[
        str | None, typer.Option(help="HOST:PORT of a Ray cluster this machine belongs to, or auto.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Result folder; runs/NAME-grid when not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print grid.json on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Try every combination of a method's settings, each on the same splits and held against the default.

    What is clearly behind is judged no further. The best of many is too good to be true: what choosing it is worth is
    said beside it. Finished runs are kept: the same command goes on.
    """
    from rich.console import Console

    from fewtune.cli.fit import default_name
    from fewtune.cli.screen import screen
    from fewtune.data.read import read, read_like
    from fewtune.data.templates.make import template_of
    from fewtune.report.grid_table import grid_table
    from fewtune.searching import RESULT, study_grid
    from fewtune.study.grid import parse
    from fewtune.study.settings import Settings

    if not file.strip():
        raise UsageError("FILE is empty. Give a file or a Hub dataset name.")
    choices = parse(method, settings)
    folder = out or Path("runs") / f"{default_name(file)}-grid"
    told = Settings(
        (backbone,),
        (method,),
        budget=None if budget.lower() == "none" else budget,
        folds=folds,
        repeats=repeats,
        splits=splits,
        template=template_of(template),
        executor=executor,
        ray_address=ray_address,
        seed=seed,
        out=folder,
    )
    drawn = screen(quiet=quiet)
    dataset = read(file, text=text, label=label, group=group, pair=pair)
    drawn.notes(dataset)
    pool = () if unlabelled is None else tuple(read_like(dataset, unlabelled, labelled=False).texts)
    with drawn:
        found = study_grid(
            dataset,
            method,
            choices,
            told,
            unlabelled=pool,
            halving=halving,
            margin=margin,
            risk=risk,
            progress=drawn,
        )
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    Console(highlight=False).print(grid_table(found))
    typer.echo(f"Result: {folder / RESULT}")
