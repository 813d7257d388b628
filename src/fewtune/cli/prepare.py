"""`fewtune prepare`: clean the rows, tell every change, keep the way back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtune.errors import UsageError

if TYPE_CHECKING:
    from fewtune.preparing import Prepared

MOST_ROWS = 12


def prepare(
    file: Annotated[str, typer.Argument(help="CSV, TSV, JSON, JSON lines, Parquet, Excel, or a Hub dataset name.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the cleaned file; runs/NAME-prepared if not given.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Text column; found by itself when not named.")] = None,
    label: Annotated[str | None, typer.Option(help="Label column; found by itself when not named.")] = None,
    group: Annotated[str | None, typer.Option(help="Group column: loses outer spaces, as labels do.")] = None,
    mask: Annotated[
        list[str] | None, typer.Option(help="Mask personal data: email, iban, card, ip, phone, or all.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Take these cleaners alone: encoding, markup, characters, spaces, boilerplate."),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Drop rows: duplicates (same label), empty (nothing to read).")
    ] = None,
    review: Annotated[bool, typer.Option("--review", help="Ask about each change; goes on where it was left.")] = False,
    undo: Annotated[
        Path | None, typer.Option(help="FILE is a cleaned one: bring its rows back with this changes.jsonl.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="csv, tsv, jsonl or parquet; the file's own if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary on standard output.")] = False,
) -> None:
    """Clean the texts of a file: every change is shown, logged, and can be undone."""
    if not file.strip():
        raise UsageError("FILE is empty. Give a file or a Hub dataset name.")
    if out is not None and str(out) in ("", "."):
        raise UsageError("--out names no folder of its own. Give a new one, such as runs/tickets-prepared.")
    if undo is not None:
        if review or mask or only or drop or text or label or group:
            raise UsageError("--undo brings rows back and cleans nothing: give it --out and --format alone.")
        _undo(Path(file), undo, out, format, as_json=as_json)
        return
    folder = out or Path("runs") / f"{_name(file)}-prepared"
    summary = _prepare(
        file,
        folder,
        {"text": text, "label": label, "group": group},
        {"mask": _names(mask) or (), "only": _names(only), "drop": _names(drop) or ()},
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


def _names(given: Iterable[str] | None) -> list[str] | None:
    """Names however they were put: `a,b` or given twice. An option that names nothing is an error further on."""
    return None if given is None else [name for part in given for name in part.split(",")]


def _name(file: str) -> str:
    return Path(file.replace(":", "-")).stem or "rows"


def told(summary: dict[str, Any]) -> str:
    """The summary for a terminal."""
    lines = [f"{summary['source']}: {summary['rows']} rows"]
    lines += [f"  · {note}" for note in summary["notes"]]
    for name, counts in summary["cleaners"].items():
        lines += ["", *_cleaner(name, counts, reviewed=summary["reviewed"])]
    if summary["personal_data"]:
        lines += ["", *_personal(summary["personal_data"])]
    if summary["clean"]:
        lines += ["", "Nothing to clean: the same rows are written."]
    elif not summary["rows_changed"] and summary["rows"] == summary["rows_written"]:
        lines += ["", "Nothing was changed: the same rows are written."]
    gone = summary["rows"] - summary["rows_written"]
    dropped = f", {gone} dropped" if gone else ""
    lines += ["", f"{summary['rows_written']} rows written, {summary['rows_changed']} changed{dropped}."]
    if summary["review_unfinished"]:
        lines += ["The review is not finished: the same command goes on where you left it."]
    lines += [f"Cleaned: {summary['files']['cleaned']}", f"Changes: {summary['files']['changes']}"]
    if any(kind["masked"] for kind in summary["personal_data"].values()):
        lines += ["The changes hold what was masked: keep them as safe as the original, or delete them."]
    return "\n".join(lines)


def _cleaner(name: str, counts: dict[str, Any], *, reviewed: bool) -> list[str]:
    from fewtune.cli.differences import differing, visible
    from fewtune.data.clean.base import counted
    from fewtune.data.clean.registry import CLEANERS

    titles = {kind.name: kind.title for kind in CLEANERS} | {
        "duplicates": "copies of an earlier row",
        "empty": "rows with nothing to read",
    }
    done = [f"{counts[key]} {key}" for key in ("applied", "rejected") if counts[key]]
    if counts["open"]:
        way = "" if reviewed else f" (--review asks; --only {name} takes them)"
        done.append(f"{counts['open']} left as they are{way}")
    lines = [f"{titles[name]} ({name}): {counted(counts['rows'], 'row')}: {', '.join(done)}"]
    for example in counts["examples"]:
        lines.append(f"  row {example['row']}: {example['reason']}")
        if example["column"] is not None:
            before, after = differing(example["before"], example["after"])
            lines += [f"    - {before}", f"    + {after}"]
        else:
            cells = [str(cell) for cell in example["before"].values() if cell is not None]
            lines.append(f"    - {visible(' | '.join(cells))[:160]}")
    return lines


def _personal(found: dict[str, dict[str, Any]]) -> list[str]:
    from fewtune.data.clean.personal import CALLED

    lines = ["personal data"]
    for kind, counts in found.items():
        rows = counts["rows"]
        more = f" and {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else ""
        where = (
            f"{counts['left']} in {'rows' if len(rows) > 1 else 'row'} {', '.join(map(str, rows[:MOST_ROWS]))}{more}"
            if rows
            else ""
        )
        masked = f"{counts['masked']} masked" if counts["masked"] else ""
        lines.append(f"  {CALLED[kind]}: {', '.join(part for part in (masked, where) if part)}")  # type: ignore[index]
    if any(counts["left"] for counts in found.values()):
        lines.append(
            "  Left as they are; --mask all (or the kinds you name) puts a word such as [EMAIL] in their place."
        )
    return lines
