"""What a preparation has come to: rows, log, and a summary of what was found; written to a folder."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fewtune.data.checks import spelling_notes
from fewtune.data.clean.log import Change, Header, read_log, write_log
from fewtune.data.clean.personal import KINDS, find
from fewtune.data.clean.registry import CLEANERS
from fewtune.data.readers.base import cell_text
from fewtune.data.write import write_table
from fewtune.errors import StoreError, UnreadableFile, UsageError
from fewtune.preparing.bench import Bench
from fewtune.preparing.wishes import DROPS, Wishes

LOG = "changes.jsonl"
FORMATS = ("csv", "tsv", "jsonl", "parquet")
KEPT_FORMAT = {".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"} | {
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""Endings whose kind is written again; any other becomes CSV."""
EXAMPLES = 3


@dataclass(frozen=True)
class Prepared:
    """Cleaned rows and how they came to be so."""

    bench: Bench
    wishes: Wishes
    fingerprint: str

    @property
    def source(self) -> str:
        """Where the rows are from."""
        return self.bench.table.source

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader chose."""
        return (*self.bench.table.notes, *self.bench.columns.notes)

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """Every proposal: those applied in their order, then those rejected or open."""
        return tuple(self.bench.log())

    @cached_property
    def columns(self) -> dict[str, list[object]]:
        """The cleaned rows by column, dropped ones left out."""
        kept = [place for place in range(len(self.bench)) if place not in self.bench.dropped]
        return {name: [cells[place] for place in kept] for name, cells in self.bench.cells.items()}

    @property
    def is_clean(self) -> bool:
        """Whether nothing was proposed, and no personal data found."""
        return not self.changes and not self.personal_data

    @cached_property
    def personal_data(self) -> dict[str, dict[str, Any]]:
        """By kind: how many stand in the cleaned texts, in which rows, and how many were masked."""
        left: dict[str, list[int]] = defaultdict(list)
        texts = [pair for column in self.bench.text_columns for pair in enumerate(self.bench.texts(column))]
        for place, text in texts:
            if place not in self.bench.dropped:
                for item in find(text):
                    left[item.kind].append(self.bench.table.rows[place])
        masked: Counter[str] = Counter()
        for change in self.changes:
            if change.cleaner == "personal_data" and change.decision == "applied":
                masked.update(item.kind for item in find(change.before) if item.kind in self.wishes.mask)
        return {
            kind: {"left": len(left[kind]), "rows": sorted(set(left[kind])), "masked": masked[kind]}
            for kind in KINDS
            if left[kind] or masked[kind]
        }

    def summary(self) -> dict[str, Any]:
        """What was found and done, for JSON and the terminal."""
        written = len(self.bench) - len(self.bench.dropped)
        label = self.bench.columns.label
        labels = Counter(self.bench.cell(label, place).strip() for place in range(len(self.bench))) if label else {}
        return {
            "format": 1,
            "source": self.source,
            "rows": len(self.bench),
            "rows_written": written,
            "rows_changed": len({c.place - 1 for c in self.changes if c.decision == "applied"} - self.bench.dropped),
            "text_column": self.bench.columns.text,
            "label_column": label,
            "clean": self.is_clean,
            "cleaners": self._by_cleaner(),
            "personal_data": self.personal_data,
            "notes": [*self.notes, *spelling_notes({name: count for name, count in labels.items() if name})],
        }

    def _by_cleaner(self) -> dict[str, dict[str, Any]]:
        names = [kind.name for kind in CLEANERS] + list(DROPS)
        grouped: dict[str, list[Change]] = {name: [] for name in names}
        for change in self.changes:
            grouped[change.cleaner].append(change)
        return {name: _counts(changes) for name, changes in grouped.items() if changes}

    def save(self, folder: str | Path, *, format: str | None = None) -> dict[str, str]:
        """Write the cleaned file and `changes.jsonl` into a folder, in place of those written from the same rows.

        Parameters
        ----------
        format : `csv`, `tsv`, `jsonl` or `parquet`; the source's own kind when not given.

        Returns
        -------
        dict
            The paths: `cleaned`, `changes`.

        Raises
        ------
        UsageError
            The format is unknown, or the source or the log of other rows would be written over.
        StoreError
            The folder cannot be written.
        """
        check_format(format)
        folder = Path(folder)
        path = folder / self.file_name(format)
        self.refuse_loss(folder, format=format)
        header = Header(
            self.source, self.fingerprint, len(self.bench), self.bench.columns.text, self.bench.columns.label, path.name
        )
        # The log first: a cleaned file without its log could not be undone.
        make_folder(folder)
        write_log(folder / LOG, header, self.changes)
        write_table(path, writable(self.columns, path.suffix))
        return {"cleaned": str(path), "changes": str(folder / LOG)}

    def refuse_loss(self, folder: Path, *, format: str | None = None) -> None:
        """Raises UsageError where saving would write over the source, the log of another source, or other files."""
        path, source, log = folder / self.file_name(format), Path(self.source), folder / LOG
        if path.exists() and source.exists() and path.samefile(source):
            raise UsageError(f"{path} is the file that is read. Name another folder with --out.")
        if path.exists() and not log.exists():
            raise UsageError(f"{path} is there already and was not written by `fewtune prepare`. Name another --out.")
        if log.exists() and (other := _own_log(log)).fingerprint != self.fingerprint:
            what = f"{log} is of other rows ({other.source}); without it they could not be brought back."
            raise UsageError(f"{what} Name another folder with --out.")

    def file_name(self, format: str | None = None) -> str:
        """Name of the cleaned file: the source's, with the ending of what is written."""
        stem = Path(self.source.replace(":", "-")).stem or "rows"
        return f"{stem}.{format or KEPT_FORMAT.get(Path(self.source).suffix.lower(), 'csv')}"


def _own_log(path: Path) -> Header:
    """Whose rows a log is of. Raises UsageError for a file of that name that no `prepare` wrote."""
    try:
        return read_log(path)[0]
    except UnreadableFile as error:
        raise UsageError(
            f"{path} is not a log that `fewtune prepare` wrote, and it would be replaced. "
            "Move it away, or name another folder with --out."
        ) from error


def check_format(format: str | None) -> None:
    """Raises UsageError for a format nobody writes."""
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format {format!r} is unknown. Known: {', '.join(FORMATS)}.")


def make_folder(folder: Path) -> None:
    """Make a folder to write into. Raises StoreError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made ({error.strerror or error}). Give another --out.") from error


def writable(columns: dict[str, list[object]], suffix: str) -> dict[str, list[object]]:
    """Cells as the format can hold them: text for CSV, what JSON has for JSON lines, one type a column for Parquet."""
    if suffix == ".jsonl":
        return {name: [_jsonable(value) for value in cells] for name, cells in columns.items()}
    if suffix == ".parquet":
        return {name: _typed(cells) for name, cells in columns.items()}
    return {name: [cell_text(value) for value in cells] for name, cells in columns.items()}


def _jsonable(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else cell_text(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return cell_text(value)
    return value


def _typed(cells: list[object]) -> list[object]:
    import pyarrow as pa

    try:
        pa.array(cells)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        texts = [cell_text(value) for value in cells]
        return [text and text.encode("utf-8", "replace").decode() for text in texts]
    return cells


def _counts(changes: Sequence[Change]) -> dict[str, Any]:
    decisions = Counter(change.decision for change in changes)
    return {
        "rows": len({change.place for change in changes}),
        **{decision: decisions[decision] for decision in ("applied", "rejected", "open")},
        "examples": [
            {
                "row": change.row,
                "id": change.id,
                "column": change.column,
                "before": change.before,
                "after": change.after,
                "reason": change.reason,
                "decision": change.decision,
            }
            for change in changes[:EXAMPLES]
        ],
    }
