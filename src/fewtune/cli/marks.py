"""`fewtune marks`: whether marked answers tell two systems apart, and the preference rows they make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fewtune.cli import options


def marks(
    file: Annotated[str, typer.Argument(help="Marks that the page of a fit saved.")],
    out: Annotated[
        Path | None, typer.Option(help="Write prompt, chosen and rejected of what was decided to this file.")
    ] = None,
    as_json: Annotated[bool, options.printed("the test as JSON")] = False,
) -> None:
    """Test marks of which answer is better, and keep them as preference rows."""
    from fewtune.marking import marks as read_marks
    from fewtune.marking import marks_to_file

    found = read_marks(file)
    if out is not None:
        marks_to_file(found, out)
        typer.echo(f"{out}: {len(found.preferences)} preference rows", err=True)
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    for one in found.judged:
        typer.echo(" ".join(one.sentences))
