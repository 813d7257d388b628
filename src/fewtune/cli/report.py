"""`fewtune report`: rebuild the page and open it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="What `fewtune fit --out` wrote.")],
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json instead.")] = False,
) -> None:
    """Rebuild report.html from result.json and open it."""
    from fewtune.report.html import write_report
    from fewtune.report.store import read_result

    if as_json:
        import json

        typer.echo(json.dumps(read_result(folder), ensure_ascii=False))
        return
    page = write_report(folder)
    typer.echo(str(page))
    if open_page and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.name == "nt"):
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
