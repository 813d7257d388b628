"""`fewtune cache`: what frozen layers have said about texts, kept for every later command."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtune.errors import UsageError

if TYPE_CHECKING:
    from fewtune.backbones.prefix.contents import Kind


class Action(StrEnum):
    """What to do with the cache."""

    show = "show"
    clear = "clear"
    limit = "limit"


def cache(
    action: Annotated[Action, typer.Argument(help="Show what is kept, clear it, or limit its size.")] = Action.show,
    size: Annotated[str | None, typer.Argument(help="For limit: like 500MB or 2GB; 0 keeps nothing on disk.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For show: one JSON object.")] = False,
) -> None:
    """Show, clear or limit what backbones have computed and kept for later commands.

    Deleting it is safe at any moment, also while a command is running: what is missing is computed again.
    """
    if size is not None and action is not Action.limit:
        raise UsageError(f"`fewtune cache {action.value}` takes no size. To set one: fewtune cache limit {size}")
    if action is Action.show:
        _show(as_json)
    elif action is Action.clear:
        _clear()
    else:
        _limit(size)


def _show(as_json: bool) -> None:
    import json

    from fewtune.backbones.prefix import limits
    from fewtune.backbones.prefix.contents import kinds

    folder = limits.prefix_folder()
    kept = [] if folder is None else kinds(folder)
    total, limit = sum(kind.bytes for kind in kept), limits.disk_limit()
    if as_json:
        said: dict[str, Any] = {"folder": None if folder is None else str(folder), "bytes": total, "limit": limit}
        typer.echo(json.dumps({**said, "kept": [kind.to_json() for kind in kept]}, ensure_ascii=False))
        return
    for kind in kept:
        typer.echo(_line(kind))
    typer.echo(f"{limits.shown(total)} of at most {limits.shown(limit)} in {folder}")


def _line(kind: Kind) -> str:
    import time
    from pathlib import Path

    from fewtune.backbones.prefix.limits import shown

    about = {"name": "?", "what": "", "precision": "", **kind.about}
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(kind.used))
    return (
        f"{Path(str(about['name'])).name:<24.24} {about['what']:<12} {about['precision']:<8} "
        f"{kind.texts:>8,} texts {shown(kind.bytes):>11}  last used {used}"
    )


def _clear() -> None:
    from fewtune.backbones.prefix import limits

    folder = limits.prefix_folder()
    count, size = (0, 0) if folder is None else limits.clear(folder)
    typer.echo(f"{count} files deleted, {limits.shown(size)}.")
    left = sum(1 for _ in limits.files(folder)) if folder is not None else 0
    if left:
        typer.echo(f"fewtune: {left} files in {folder} could not be deleted. Check their permissions.", err=True)
        raise typer.Exit(1)


def _limit(size: str | None) -> None:
    import os

    from fewtune.backbones.prefix import limits
    from fewtune.errors import StoreError

    if size is not None:
        count = limits.parse_size(size)
        try:
            limits.set_disk_limit(count)
        except (OSError, RuntimeError) as error:
            raise StoreError(
                f"The limit could not be kept ({error}). Set {limits.DISK}={size} in the environment instead."
            ) from error
    typer.echo(f"At most {limits.shown(limits.disk_limit())} are kept.")
    if os.environ.get(limits.DISK, "").strip():
        typer.echo(f"fewtune: {limits.DISK} is set and overrules what was kept.", err=True)
