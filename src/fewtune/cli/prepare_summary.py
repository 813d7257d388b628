"""What `fewtune prepare` has done, for a terminal: a block for each cleaner, what personal data is left, the files."""

from __future__ import annotations

from typing import Any

MOST_ROWS = 12
"""Row numbers named in one line; of more, the count."""


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
    from fewtune.data.clean.registry import CLEANERS
    from fewtune.plural import counted

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
