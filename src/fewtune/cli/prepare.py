"""`fewtune prepare`: clean the rows, tell every change, keep the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtune.cli import options
from fewtune.cli.given import check_rows, names_of, result_folder
from fewtune.errors import UsageError

if TYPE_CHECKING:
    from fewtune.preparing import Prepared

# Options of this command alone; a group is a column to clean here.
Group = Annotated[str | None, typer.Option(help="Group column: loses outer spaces, as labels do.")]
Mask = Annotated[list[str] | None, typer.Option(help="Mask personal data: email, iban, card, ip, phone, or all.")]
Only = Annotated[
    list[str] | None,
    typer.Option(help="Take these cleaners alone: encoding, markup, characters, spaces, boilerplate."),
]
Drop = Annotated[
    list[str] | None, typer.Option(help="Drop rows: duplicates (same label), empty (nothing to read or prefer).")
]
Review = Annotated[bool, typer.Option("--review", help="Ask about each change; goes on where it was left.")]
Undo = Annotated[Path | None, typer.Option(help="FILE is a cleaned one: bring its rows back with this changes.jsonl.")]
Format = Annotated[str | None, typer.Option(help="csv, tsv, jsonl or parquet; the file's own if not given.")]
Out = Annotated[Path | None, options.folder("Folder of the cleaned file", unless="runs/NAME-prepared")]
AsJson = Annotated[bool, options.printed("the summary")]


def prepare(
    file: options.Rows,
    out: Out = None,
    text: options.Text = None,
    label: options.Label = None,
    group: Group = None,
    mask: Mask = None,
    only: Only = None,
    drop: Drop = None,
    review: Review = False,
    undo: Undo = None,
    format: Format = None,
    as_json: AsJson = False,
) -> None:
    """Clean the texts of a file: every change is shown, logged, and can be undone."""
    from fewtune.cli.prepare_summary import told

    check_rows(file)
    folder = result_folder(out, file, "prepared")
    if undo is not None:
        if review or mask or only or drop or text or label or group:
            raise UsageError("--undo brings rows back and cleans nothing: give it --out and --format alone.")
        _undo(Path(file), undo, out, format, as_json=as_json)
        return
    summary = _prepare(
        file,
        folder,
        {"text": text, "label": label, "group": group},
        {"mask": names_of(mask) or (), "only": names_of(only), "drop": names_of(drop) or ()},
        review=review,
        format=format,
    )
    typer.echo(json.dumps(summary, ensure_ascii=False) if as_json else told(summary))


def _prepare(
    file: str, folder: Path, columns: dict[str, Any], wanted: dict[str, Any], *, review: bool, format: str | None
) -> dict[str, Any]:
    """Clean, ask if asked to, write; a review that is broken off keeps what was decided."""
    from fewtune.cli.prepare_review import Reviewer
    from fewtune.preparing import prepare as clean
    from fewtune.preparing.decisions import Decisions
    from fewtune.preparing.prepared import check_format

    check_format(format)
    with Decisions(folder) as decisions:
        reviewer = Reviewer(decisions) if review else None
        found: Prepared = clean(file, **columns, **wanted, decided=decisions.known)
        found.refuse_loss(folder, format=format)
        if reviewer is not None:  # asked only once it is known that the answers can be kept
            found = clean(file, **columns, **wanted, decide=reviewer, decided=decisions.known)
        files = found.save(folder, format=format)
    stopped = reviewer is not None and reviewer.stopped
    return {**found.summary(), "reviewed": review, "review_unfinished": stopped, "files": files}


def _undo(cleaned: Path, log: Path, out: Path | None, format: str | None, *, as_json: bool) -> None:
    from fewtune.preparing import undo as bring_back

    path = bring_back(cleaned, log, out or log.parent / "restored", format=format)
    typer.echo(json.dumps({"restored": str(path)}) if as_json else f"Restored: {path}")
