"""`fewtune study`: experiments by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fewtune.cli.study_grid import grid

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
def formats(
    file: Annotated[str, typer.Argument(help="CSV, TSV, JSON, JSON lines, Parquet, Excel, or a Hub dataset name.")],
    text: Annotated[str | None, typer.Option(help="Text column; found by itself when not named.")] = None,
    pair: Annotated[list[str] | None, typer.Option(help="Column to join to the text; may be repeated.")] = None,
    label: Annotated[str | None, typer.Option(help="Label column; found by itself when not named.")] = None,
    group: Annotated[str | None, typer.Option(help="Column of what may never be split across folds.")] = None,
    method: Annotated[
        str, typer.Option(help="Method to judge formats with: probe, zero_shot, contrastive, …")
    ] = "probe",
    backbone: Annotated[str, typer.Option(help="Encoder folder or Hub name.")] = "default",
    instruction: Annotated[str | None, typer.Option(help='What is asked, such as "Name the topic".')] = None,
    words: Annotated[Path | None, typer.Option(help="JSON or CSV file: what each class is called in words.")] = None,
    template: Annotated[
        list[Path] | None, typer.Option(help="JSON file of a template to try as well; may be repeated.")
    ] = None,
    splits: Annotated[Path | None, typer.Option(help="Judge on the splits that `fewtune split` wrote.")] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validation folds; 5 when not given.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Times the folds are dealt anew.")] = None,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Result folder; runs/NAME-formats when not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print formats.json on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Compare ways of putting a text to the backbone: separators, prefixes, instructions, class words.

    Each is judged on the same splits and held against plain text. Finished runs are kept: the same command goes on.
    """
    from rich.console import Console

    from fewtune.cli.fit import default_name
    from fewtune.cli.screen import screen
    from fewtune.data.read import read
    from fewtune.data.templates.make import template_of
    from fewtune.data.templates.words import read_words
    from fewtune.report.formats_table import formats_table
    from fewtune.study.formats import ASKED
    from fewtune.study.settings import Settings
    from fewtune.studying import RESULT, study_formats

    drawn = screen(quiet=quiet)
    dataset = read(file, text=text, label=label, group=group, pair=pair)
    drawn.notes(dataset)
    folder = out or Path("runs") / f"{default_name(file)}-formats"
    settings = Settings((backbone,), (method,), folds=folds, repeats=repeats, splits=splits, seed=seed, out=folder)
    with drawn:
        found = study_formats(
            dataset,
            settings,
            instruction=instruction or ASKED,
            words=None if words is None else read_words(words),
            more=[(path.stem, template_of(path)) for path in template or []],
            progress=drawn,
        )
    best = next(one for one in found["formats"] if one["name"] == found["best"])
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    Console(highlight=False).print(formats_table(found))
    typer.echo(f"Result: {folder / RESULT}")
    if best["name"] != found["reference"] and best["name"] != "no names":
        path = folder / "template.json"
        path.write_text(json.dumps(best["template"], ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        typer.echo(f"Use it: fewtune fit {file} --template {path}")


app.command("grid")(grid)
