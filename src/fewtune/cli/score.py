"""`fewtune score`: what answers in a file are worth, and which of two systems answers better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fewtune.cli import options


def score(
    file: Annotated[str, typer.Argument(help="Answers with references, such as `fewtune generate --out` writes.")],
    against: Annotated[str | None, typer.Option(help="Another system's answers to the same rows.")] = None,
    answer: Annotated[str | None, typer.Option(help="Column of answers; found by itself when not named.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Column of references, texts or lists; found by itself when not named.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Column of prompts; found by itself when not named.")] = None,
    slots: Annotated[str | None, typer.Option(help="Column of what each answer must say.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of what counts as one observation; the prompt when not named.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="A score by name; all when none is named.")] = None,
    own: Annotated[list[str] | None, typer.Option(help="A score of your own: name=path.py:function.")] = None,
    each_prompt_once: Annotated[
        bool, typer.Option("--each-prompt-once", help="Join rows of one prompt and all their references.")
    ] = False,
    seed: options.Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Write the scores as JSON to this file.")] = None,
    as_json: Annotated[bool, options.printed("the scores as JSON")] = False,
) -> None:
    """Score answers against references, with intervals; compare two systems on the same rows."""
    from fewtune.scoring import Columns, score_to_file
    from fewtune.scoring import score as score_file

    found = score_file(
        file,
        against=against,
        columns=Columns(answer, reference, prompt, slots, group),
        scores=metric,
        own=own or (),
        each_prompt_once=each_prompt_once,
        seed=seed,
    )
    for note in found.notes:
        typer.echo(f"  · {note}", err=True)
    if out is not None:
        score_to_file(found, out)
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    from rich.console import Console

    from fewtune.report.scores_table import scores_table

    Console(highlight=False).print(scores_table(found.to_json()))
