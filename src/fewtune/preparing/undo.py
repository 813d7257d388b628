"""Cleaned file and log → the original rows, in a file of their own."""

from __future__ import annotations

from pathlib import Path

from fewtune.data.clean.log import read_log
from fewtune.data.clean.undo import read_written, undone
from fewtune.data.write import write_table
from fewtune.errors import UsageError
from fewtune.preparing.prepared import check_format, make_folder, writable


def undo(cleaned: str | Path, log: str | Path, folder: str | Path, *, format: str | None = None) -> Path:
    """Write the rows as they were before `prepare`, every text character for character.

    Parameters
    ----------
    cleaned : the file that `prepare` wrote.
    log : the `changes.jsonl` it wrote beside it.
    folder : where the restored file goes, under the name of the cleaned one.
    format : its kind; the cleaned file's own when not given.

    Raises
    ------
    DataError
        The file is not as `prepare` left it, or the log is damaged.
    UsageError
        The restored file would take the place of the cleaned one.
    """
    check_format(format)
    cleaned = Path(cleaned)
    header, changes = read_log(Path(log))
    rows = undone(read_written(cleaned), header, changes, file=cleaned)
    path = Path(folder) / f"{cleaned.stem}.{format or cleaned.suffix[1:].lower()}"
    if path.exists() and path.samefile(cleaned):
        raise UsageError(f"{path} is the cleaned file itself. Name another --out.")
    make_folder(path.parent)
    names = list(rows[0]) if rows else []
    columns = {name: [row.get(name) for row in rows] for name in names}
    return write_table(path, writable(columns, path.suffix))
