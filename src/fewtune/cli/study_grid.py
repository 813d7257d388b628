"""`fewtune study grid`: which settings of a method are worth having."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fewtune.cli import options
from fewtune.cli.given import check_rows, read_rows, result_folder
from fewtune.cli.groups import Columns, Judging, spread

# Options of this command alone.
Method = Annotated[
    str, typer.Option(help="Method whose settings are tried, of the rows' task: lora, contrastive, probe, …")
]
Tried = Annotated[
    list[str], typer.Option("--set", help="A setting and its values, such as rate=1e-3,3e-3; may be repeated.")
]
Halving = Annotated[
    bool, typer.Option("--halving/--no-halving", help="Judge no further what is clearly behind on the first splits.")
]
Margin = Annotated[
    float, typer.Option(help="A difference in accuracy, or bits per byte, within which none is dropped.")
]
Risk = Annotated[float, typer.Option(help="Largest probability that the truly best setting is dropped.")]
Out = Annotated[Path | None, options.folder("Result folder", unless="runs/NAME-grid")]
AsJson = Annotated[bool, options.printed("grid.json")]
UNLIMITED = Judging(budget="none")


@spread
def grid(
    file: options.Rows,
    *,
    method: Method,
    settings: Tried,
    halving: Halving = True,
    margin: Margin = 0.01,
    risk: Risk = 0.05,
    columns: Columns,
    task: options.Task = None,
    unlabelled: options.Unlabelled = None,
    backbone: options.Backbone = "default",
    template: options.Template = None,
    judging: Judging = UNLIMITED,
    out: Out = None,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Try every combination of a method's settings, each on the same splits and held against the default.

    What is clearly behind is judged no further. The best of many is too good to be true: what choosing it is worth is
    said beside it. Finished runs are kept: the same command goes on.
    """
    from fewtune.cli.screen import screen
    from fewtune.data.templates.make import template_of
    from fewtune.searching import study_grid
    from fewtune.study.grid import parse
    from fewtune.study.settings import Settings

    check_rows(file)
    folder, drawn = result_folder(out, file, "grid"), screen(quiet=quiet)
    dataset, pool = read_rows(drawn, file, columns, unlabelled, task=task)
    choices = parse(method, settings, dataset.task)
    about: dict[str, Any] = {"template": template_of(template), "task": dataset.task, "out": folder}
    asked = Settings((backbone,), (method,), **about, **judging.settings())
    dropping: dict[str, Any] = {"halving": halving, "margin": margin, "risk": risk}
    with drawn:
        found = study_grid(dataset, method, choices, asked, unlabelled=pool, **dropping, progress=drawn)
    show(found, folder, as_json=as_json)


def show(found: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    """The table of what was tried, or all of it as JSON."""
    from rich.console import Console

    from fewtune.report.grid_table import grid_table
    from fewtune.searching import RESULT

    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    Console(highlight=False).print(grid_table(found))
    typer.echo(f"Result: {folder / RESULT}")
