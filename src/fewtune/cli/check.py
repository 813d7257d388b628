"""`fewtune check`: is this data fit to learn from?"""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from fewtune.errors import StoreError, UsageError


def check(
    train: Annotated[str, typer.Argument(help="CSV, TSV, JSON, JSON lines, Parquet, Excel, or a Hub dataset name.")],
    test: Annotated[str | None, typer.Option(help="Test file: looked at for leaks and shift, never scored.")] = None,
    unlabelled: Annotated[str | None, typer.Option(help="File of texts without labels.")] = None,
    text: Annotated[str | None, typer.Option(help="Text column; found by itself when not named.")] = None,
    label: Annotated[
        str | None, typer.Option(help='Label column; found by itself when not named; "" where there is none.')
    ] = None,
    group: Annotated[str | None, typer.Option(help="Column of what may never be split across folds.")] = None,
    pair: Annotated[list[str] | None, typer.Option(help="Column to join to the text; may be repeated.")] = None,
    about: Annotated[str | None, typer.Option(help="The task in your words, to find rows that are off it.")] = None,
    backbone: Annotated[str, typer.Option(help="Encoder folder or Hub name.")] = "default",
    no_backbone: Annotated[
        bool, typer.Option("--no-backbone", help="Leave out what needs an encoder: by spelling alone, in seconds.")
    ] = False,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Leave out what needs a fitted model: wrong labels, confused classes.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="These checks alone, by name; commas between them.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="All checks but these.")] = None,
    review: Annotated[
        bool, typer.Option("--review", help="Then walk through the doubtful labels and write a corrected copy.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; runs/NAME-check when not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print audit.json on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Ask whether data are fit to learn from: copies, leaks, wrong labels, too few rows, and more.

    Nothing is changed. Exit code 1 when something found would invalidate a result, or a check could not be finished.
    """
    from fewtune import auditing
    from fewtune.cli.fit import check_test, default_name
    from fewtune.cli.screen import screen
    from fewtune.report.audit_page import write_audit

    if not train.strip():
        raise UsageError("TRAIN is empty. Give a file or a Hub dataset name.")
    if review and (as_json or not sys.stdin.isatty()):
        raise UsageError("--review asks questions: it needs a terminal, and no --json.")
    for name, source in (("--test", test), ("--unlabelled", unlabelled)):
        check_test(source, option=name)
    drawn = screen(quiet=quiet)
    with _made(out or Path("runs") / f"{default_name(train)}-check") as folder:
        with drawn:
            found = auditing.check(
                train,
                test=test,
                unlabelled=unlabelled,
                text=text,
                label=label,
                group=group,
                pair=pair,
                about=about,
                backbone=None if no_backbone else backbone,
                model=not no_model,
                only=_names(only) if only else None,
                skip=_names(skip or []),
                seed=seed,
                progress=drawn,
            )
        for data in found.parts.values():
            drawn.notes(data)
        plain = found.to_json() | {"command": shlex.join(["fewtune", *sys.argv[1:]])}
        page = write_audit(folder, plain)
    if as_json:
        typer.echo(json.dumps(plain, ensure_ascii=False))
    else:
        drawn.audit(plain, page)
    if review:
        from fewtune.cli.review import walk

        walk(found.ground, folder)
    if found.blocked or found.unfinished:
        raise typer.Exit(1)


def _names(given: list[str]) -> list[str]:
    """Names of checks, however they were put: `a,b`, `--only a --only b`, `label-errors`."""
    return [name.strip().replace("-", "_") for part in given for name in part.split(",") if name.strip()]


def _refuse_loss(folder: Path) -> None:
    """Raises UsageError where a file would be replaced that no check wrote."""
    from fewtune.report.store import AUDIT, read_result

    held = [folder / name for name in (AUDIT.file, "audit.html") if (folder / name).exists()]
    if not held:
        return
    try:
        read_result(folder, AUDIT)
    except StoreError as error:
        raise UsageError(
            f"{held[0]} is of no `fewtune check`: it would be replaced. Name another folder with --out."
        ) from error


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """The folder: one that cannot be made is said before the work, and one that stays empty does not stay."""
    if str(folder) in ("", "."):
        raise UsageError("--out names no folder of its own. Give a new one, such as runs/tickets-check.")
    _refuse_loss(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}. Name another folder with --out.") from error
    try:
        yield folder
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()  # refuses one that holds anything
        raise
