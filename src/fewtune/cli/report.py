"""`fewtune report`: rebuild the pages of a folder and open them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="What `fewtune fit --out` or `fewtune check --out` wrote.")],
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json (or audit.json) instead.")] = False,
) -> None:
    """Rebuild report.html from result.json, audit.html from audit.json, and open what was rebuilt."""
    from fewtune.report.audit_page import rewrite_audit
    from fewtune.report.html import write_report
    from fewtune.report.store import AUDIT, RESULT, read_result

    audited = (folder / AUDIT.file).exists()
    fitted = (folder / RESULT.file).exists() or not audited  # where neither is, a fit is what is missed
    if as_json:
        import json

        typer.echo(json.dumps(read_result(folder, RESULT if fitted else AUDIT), ensure_ascii=False))
        return
    pages = ([write_report(folder)] if fitted else []) + ([rewrite_audit(folder)] if audited else [])
    for page in pages:
        typer.echo(str(page))
    if open_page and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.name == "nt"):
        import webbrowser

        for page in pages:
            webbrowser.open(page.resolve().as_uri())
