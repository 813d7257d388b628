"""`fewtune check`: is this data fit to learn from?"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewtune.cli import options
from fewtune.cli.given import check_file, check_rows, command_line, names_of, result_folder
from fewtune.errors import StoreError, UsageError

if TYPE_CHECKING:
    from fewtune.auditing import Audit
    from fewtune.cli.screen import Screen

# Options of this command alone; rows here may be without labels, and a test file is never scored.
Test = Annotated[str | None, typer.Option(help="Test file: looked at for leaks and shift, never scored.")]
Unlabelled = Annotated[str | None, typer.Option(help="File of texts without labels.")]
About = Annotated[str | None, typer.Option(help="The task in your words, to find rows that are off it.")]
NoBackbone = Annotated[
    bool, typer.Option("--no-backbone", help="Leave out what needs an encoder: by spelling alone, in seconds.")
]
NoModel = Annotated[
    bool, typer.Option("--no-model", help="Leave out what needs a fitted model: wrong labels, confused classes.")
]
Only = Annotated[list[str] | None, typer.Option(help="These checks alone, by name; commas between them.")]
Skip = Annotated[list[str] | None, typer.Option(help="All checks but these.")]
Review = Annotated[
    bool, typer.Option("--review", help="Then walk through the doubtful labels and write a corrected copy.")
]
Out = Annotated[Path | None, options.folder("Folder of the report", unless="runs/NAME-check")]
AsJson = Annotated[bool, options.printed("audit.json")]


def check(
    train: options.Rows,
    test: Test = None,
    unlabelled: Unlabelled = None,
    text: options.Text = None,
    label: options.MaybeLabel = None,
    group: options.Group = None,
    pair: options.Pair = None,
    about: About = None,
    backbone: options.Backbone = "default",
    no_backbone: NoBackbone = False,
    no_model: NoModel = False,
    only: Only = None,
    skip: Skip = None,
    review: Review = False,
    seed: options.Seed = 0,
    out: Out = None,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask whether data are fit to learn from: copies, leaks, wrong labels, too few rows, and more.

    Nothing is changed. Exit code 1 when something found would invalidate a result, or a check could not be finished.
    """
    from fewtune import auditing
    from fewtune.cli.screen import screen

    check_rows(train, called="TRAIN")
    check_file(test, option="--test")
    check_file(unlabelled, option="--unlabelled")
    if review:
        _refuse_review(as_json=as_json)
    with _made(result_folder(out, train, "check")) as folder:
        with screen(quiet=quiet) as drawn:
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
                only=_checks(only) if only else None,
                skip=_checks(skip),
                seed=seed,
                progress=drawn,
            )
        _tell(found, folder, drawn, as_json=as_json)
    if review:
        from fewtune.cli.review import walk

        walk(found.ground, folder)
    if found.blocked or found.unfinished:
        raise typer.Exit(1)


def _refuse_review(*, as_json: bool) -> None:
    """Raises UsageError where nobody could be asked."""
    if as_json or not sys.stdin.isatty():
        raise UsageError("--review asks questions: it needs a terminal, and no --json.")


def _tell(found: Audit, folder: Path, drawn: Screen, *, as_json: bool) -> None:
    """What was read and found: into the folder, and on the screen."""
    from fewtune.report.audit_page import write_audit

    for data in found.parts.values():
        drawn.notes(data)
    plain = found.to_json() | {"command": command_line()}
    page = write_audit(folder, plain)
    if as_json:
        typer.echo(json.dumps(plain, ensure_ascii=False))
    else:
        drawn.audit(plain, page)


def _checks(given: list[str] | None) -> list[str]:
    """Names of checks, however they were put: `a,b`, `--only a --only b`, `label-errors`."""
    return [name.strip().replace("-", "_") for name in names_of(given) or () if name.strip()]


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
