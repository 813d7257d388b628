"""`fewtune study`: experiments by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fewtune.cli import options
from fewtune.cli.given import read_rows, result_folder
from fewtune.cli.groups import Columns, spread
from fewtune.cli.study_grid import grid

# Options of `fewtune study formats` alone.
Method = Annotated[str, typer.Option(help="Method to judge formats with: probe, zero_shot, contrastive, …")]
Instruction = Annotated[str | None, typer.Option(help='What is asked, such as "Name the topic".')]
Templates = Annotated[list[Path] | None, typer.Option(help="JSON file of a template to try as well; may be repeated.")]
Out = Annotated[Path | None, options.folder("Result folder", unless="runs/NAME-formats")]
AsJson = Annotated[bool, options.printed("formats.json")]

app = typer.Typer(
    name="study",
    help="Experiments on your rows: what makes a difference, judged on the same resamples.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def study() -> None:
    """Experiments on your rows: what makes a difference, judged on the same resamples."""


@app.command("formats")
@spread
def formats(
    file: options.Rows,
    *,
    columns: Columns,
    method: Method = "probe",
    backbone: options.Backbone = "default",
    instruction: Instruction = None,
    words: options.Words = None,
    template: Templates = None,
    splits: options.Splits = None,
    folds: options.Folds = None,
    repeats: options.Repeats = None,
    seed: options.Seed = 0,
    out: Out = None,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare ways of putting a text to the backbone: separators, prefixes, instructions, class words.

    Each is judged on the same splits and held against plain text. Finished runs are kept: the same command goes on.
    """
    from fewtune.cli.screen import screen
    from fewtune.data.templates.make import template_of
    from fewtune.data.templates.words import given_words
    from fewtune.study.formats import ASKED
    from fewtune.study.settings import Settings
    from fewtune.studying import study_formats

    drawn, folder = screen(quiet=quiet), result_folder(out, file, "formats")
    dataset, _ = read_rows(drawn, file, columns)
    settings = Settings((backbone,), (method,), folds=folds, repeats=repeats, splits=splits, seed=seed, out=folder)
    with drawn:
        found = study_formats(
            dataset,
            settings,
            instruction=instruction or ASKED,
            words=given_words(words) or None,
            more=[(path.stem, template_of(path)) for path in template or []],
            progress=drawn,
        )
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        show(found, folder, file)


def show(found: dict[str, Any], folder: Path, file: str) -> None:
    """The table of formats; the best one is written as a template for a fit, where that is another than plain text."""
    from rich.console import Console

    from fewtune.report.formats_table import formats_table
    from fewtune.studying import RESULT

    Console(highlight=False).print(formats_table(found))
    typer.echo(f"Result: {folder / RESULT}")
    best = next(one for one in found["formats"] if one["name"] == found["best"])
    if best["name"] != found["reference"] and best["name"] != "no names":
        path = folder / "template.json"
        path.write_text(json.dumps(best["template"], ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        typer.echo(f"Use it: fewtune fit {file} --template {path}")


app.command("grid")(grid)
