"""Read any source of rows into a `Dataset`, saying what was chosen on the way.

source → reader (`data/readers/`) → Table → columns (`data/columns.py`) → examples → checks (`data/checks.py`)
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from fewtune.data.base import Dataset, Example, Task
from fewtune.data.checks import check_task, listed
from fewtune.data.columns import Columns, asked, choose_columns
from fewtune.data.exchanges import task_of
from fewtune.data.formats.base import Seen
from fewtune.data.formats.see import see, with_completions
from fewtune.data.lineage import with_origins
from fewtune.data.pairs import joined
from fewtune.data.readers.base import Cell, Table, sound
from fewtune.errors import ColumnError, DataError, EmptyData, TaskError, UnreadableFile
from fewtune.plural import agreeing, counted

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".psv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "excel",
    ".xlsm": "excel",
}
REFUSED = {
    ".xls": "Open it in Excel or LibreOffice and save it as .xlsx or CSV.",
    ".ods": "Open it in LibreOffice and save it as .xlsx or CSV.",
    ".pkl": "A pickle can run any code when opened, so fewtune opens none: save the table as CSV or Parquet.",
    ".pickle": "A pickle can run any code when opened, so fewtune opens none: save the table as CSV or Parquet.",
    ".gz": "Unpack it first: gunzip FILE.",
    ".zip": "Unpack it first and give the file inside.",
}


def read(
    source: object,
    *,
    text: str | None = None,
    label: str | None = None,
    group: str | None = None,
    id: str | None = None,
    pair: str | Sequence[str] | None = None,
    labelled: bool | None = True,
    task: Task | None = None,
) -> Dataset:
    """Read rows from a file, the Hugging Face Hub or memory.

    Parameters
    ----------
    source : path, Hub name, frame, dataset, list, tuple or mapping
        Path to a CSV, TSV, JSON, JSON lines, Parquet, Excel or text file; a Hub name such as `owner/name` or
        `owner/name:split`; a pandas frame; a `datasets.Dataset`; a list of (text, label) pairs, of mappings or of
        texts; a tuple (texts, labels); a mapping of columns. A `Dataset` is given back as it is. Exports of annotation
        tools, conversations and instructions are recognised (`fewtune.data.formats`), and a note says as what.
    text, label, group, id : str, optional
        Names of columns. Text, label and id are recognised when not named; a group never is.
    pair : str or sequence of str, optional
        Columns to join to the text, for texts of several columns (see `fewtune.data.pairs`).
    labelled : bool, optional
        False for rows to predict: only text is needed, and a label is read only if its column is named. None for rows
        to look at, whatever they are: a label column is looked for and need not be there (`label=""` says that there is
        none), and no task is asked of them.
    task : {"classification", "generation", "language_modelling", "preference"}, optional
        What the rows are for; chosen by what the file holds when not said. Completions read for classification are
        labels.

    Returns
    -------
    Dataset
        Texts exactly as given, but for NUL characters and halves of surrogate pairs; labels without outer spaces.
        Rows without text (or, if `labelled`, without label) are left out. `notes` say all that was chosen.

    Raises
    ------
    DataError
        With the file, the row and what to do next: `UnreadableFile`, `EmptyData`, `ColumnError` or `TaskError`.
    MissingExtra
        Excel or the Hub is asked for and its library is not installed.
    """
    if isinstance(source, Dataset):
        return source
    table = _read_table(source, lines=not labelled and text is None and label is None, tables=labelled is not False)
    return dataset_of(table, text=text, label=label, group=group, id=id, pair=pair, labelled=labelled, task=task)


def read_to_fit(
    source: object,
    *,
    text: str | None = None,
    label: str | None = None,
    group: str | None = None,
    pair: str | Sequence[str] | None = None,
    task: Task | None = None,
) -> Dataset:
    """As `read`, for rows to tune on: a table of plain texts alone is language modelling, no task without labels."""
    if isinstance(source, Dataset):
        return source
    table = _read_table(source, lines=task == "language_modelling", tables=True)
    wanted = task or task_of(table, label=label)
    found = dataset_of(table, text=text, label=label, group=group, pair=pair, task=wanted)
    if found.task == "preference":
        what = "These rows say which of two answers is better, or whether one is wanted."
        remedy = (
            "Tune with them in a second stage: fewtune prefer FOLDER FILE. To learn to write what was chosen, read "
            "them with --task generation."
        )
        raise TaskError(what, file=found.source, remedy=remedy)
    return found


def dataset_of(
    table: Table,
    *,
    text: str | None = None,
    label: str | None = None,
    group: str | None = None,
    id: str | None = None,
    pair: str | Sequence[str] | None = None,
    labelled: bool | None = True,
    task: Task | None = None,
) -> Dataset:
    """A table, once read, as `read` gives it."""
    seen = see(table, text=text, label=label, task=task, whole=labelled is True)
    if seen is not None:
        table, text, label, id = seen.table, text or seen.text, seen.label, id or seen.id
        labelled = labelled if seen.task == "classification" else False
    if task == "language_modelling":
        labelled = False
    names = (pair,) if isinstance(pair, str) else tuple(pair or ())
    parts = {asked(table, name, "pair"): None for name in names}
    rest = replace(table, columns={name: cells for name, cells in table.columns.items() if name not in parts})
    columns = choose_columns(rest, text=text, label=label, group=group, id=id, labelled=labelled)
    table = _with_parts(table, columns, tuple(parts))
    examples, notes = _examples(table, columns, bool(labelled) or (labelled is None and _has_labels(table, columns)))
    examples, more = with_origins(examples)
    notes += more
    if seen is not None and seen.task != "classification":
        examples = with_completions(examples, seen)
    elif labelled:
        assert columns.label is not None
        labels = [example.label for example in examples if example.label is not None]
        notes += check_task([example.text for example in examples], labels, table.source, columns.label)
    return Dataset(
        examples=tuple(examples),
        task=_task(task, seen),
        source=table.source,
        text_column=columns.text,
        label_column=columns.label,
        notes=(*table.notes, *columns.notes, *notes),
        pair_columns=tuple(parts),
        id_column=columns.id,
    )


def _task(asked: Task | None, seen: Seen | None) -> Task:
    if asked == "language_modelling":
        return asked
    return "classification" if seen is None else seen.task


def _with_parts(table: Table, columns: Columns, parts: tuple[str, ...]) -> Table:
    """The table with the columns of `parts` joined to the text and not standing by themselves."""
    if not parts:
        return table
    texts = table.columns[columns.text]
    rows = zip(texts, *(table.columns[name] for name in parts), strict=True)
    whole = [joined([cell or "" for cell in row]) if any(cell and cell.strip() for cell in row) else "" for row in rows]
    columns.notes.append(f"Joined to the text: {listed(list(map(repr, parts)))}.")
    kept: dict[str, list[Cell]] = {name: cells for name, cells in table.columns.items() if name not in parts}
    kept[columns.text] = list(whole)
    return replace(table, columns=kept)


def read_like(dataset: Dataset, source: object, *, labelled: bool | None, group: str | None = None) -> Dataset:
    """Another file of the same kind: its columns are looked for under the training file's names first.

    Parameters
    ----------
    labelled : True where the label column must be there, None where it may be, False where it is not looked for.
    group : the training file's column of groups; taken where it is there.
    """
    if dataset.task == "preference":
        table = _read_table(source, lines=labelled is False, tables=True)
        preferred = {"chosen", "rejected"} <= set(table.columns) or {"completion", "label"} <= set(table.columns)
        group = group if group in table.columns else None
        return dataset_of(table, group=group, labelled=False, task="preference" if preferred else None)
    # Read as rows to predict: a test file may well hold a single class, which training could not.
    label = None if labelled is False else dataset.label_column
    columns = [(dataset.text_column, label), (None, label), (dataset.text_column, None), (None, None)]
    wanted = [(*pair, name) for pair in (columns[:1] if labelled else columns) for name in (group, None)]
    problem: ColumnError | None = None
    for text, name, together in dict.fromkeys(wanted):
        try:
            pair = dataset.pair_columns
            return read(source, text=text, label=name, group=together, pair=pair, labelled=False)
        except ColumnError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def read_table(source: object, *, lines: bool = False) -> Table:
    """The cells of a source as they are, before columns are chosen; see `read`. `lines`: plain text may be no table."""
    return _read_table(source, lines=lines, tables=True)


def _read_table(source: object, *, lines: bool, tables: bool) -> Table:
    """`lines`: plain text may be one text a line; `tables`: it may be a table."""
    if isinstance(source, Path):
        return _read_file(source, lines=lines, tables=tables)
    if isinstance(source, str):
        return _read_named(source, lines=lines, tables=tables)
    from fewtune.data.readers.memory import read_memory

    table = read_memory(source)
    if not len(table):
        raise EmptyData("There are no rows.", remedy="Give at least two, of two classes.")
    return table


def _read_named(source: str, *, lines: bool, tables: bool) -> Table:
    """A path, or a name on the Hub where no such path, no such folder and no file ending speaks against it."""
    from fewtune.data.readers.hub import is_hub_name, read_hub

    try:
        path = Path(source).expanduser()
        local = path.exists() or path.suffix.lower() in {*SUFFIXES, *REFUSED, ".txt"}
        local = local or (path.parent != Path() and path.parent.exists())
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, or with NUL in it, or of no user
        raise UnreadableFile("This is no path.", file=repr(source[:100]), remedy="Give a path to a file.") from error
    return read_hub(source) if not local and is_hub_name(source) else _read_file(path, lines=lines, tables=tables)


def _read_file(path: Path, *, lines: bool, tables: bool) -> Table:
    from fewtune.data.readers import csv, excel, hub, json, parquet

    if path.is_dir() and hub.is_saved(path):
        return hub.read_folder(path)
    _refuse_what_is_no_file(path)
    kind = _kind(path)
    if kind == "parquet":
        return parquet.read_parquet(path)
    if kind == "excel":
        return excel.read_excel(path)
    if kind == "json":
        return json.read_json(path)
    if not lines or path.suffix.lower() != ".txt":
        return csv.read_csv(path)
    return _read_plain(path) if tables else csv.read_lines(path)


def _read_plain(path: Path) -> Table:
    """Plain text that may be a table: one where it reads as one, else one text a line."""
    from fewtune.data.readers import csv

    try:
        table = csv.read_csv(path)
    except UnreadableFile:
        return csv.read_lines(path)
    return table if len(table.columns) > 1 else csv.read_lines(path)


def _refuse_what_is_no_file(path: Path) -> None:
    if path.is_dir():
        files = sorted(file.name for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        remedy = f"Give one file in it: {listed(files)}." if files else "Give a file."
        raise UnreadableFile("This is a folder.", file=path, remedy=remedy)
    if not path.exists():
        remedy = "Check the path; a dataset of the Hugging Face Hub is given as owner/name or name:split."
        if path.parent.is_dir():
            files = [file.name for file in path.parent.iterdir() if not file.is_dir()]
            near = difflib.get_close_matches(path.name, files, n=1)
            remedy = f"Did you mean {str(path.parent / near[0])!r}?" if near else remedy
        raise UnreadableFile("There is no such file.", file=path, remedy=remedy)
    if not path.is_file():
        raise UnreadableFile("This is not a regular file.", file=path, remedy="Give a path to a file.")
    if path.suffix.lower() in REFUSED:
        what = f"Files ending in {path.suffix} are not read."
        raise UnreadableFile(what, file=path, remedy=REFUSED[path.suffix.lower()])


def _kind(path: Path) -> str:
    """The format by what the file begins with, then by its name, then by its first letter."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        what = f"The file cannot be read ({error.strerror or error})."
        raise UnreadableFile(what, file=path, remedy="Check its permissions.") from error
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK\x03\x04") and (b"xl/" in head or b"[Content_Types].xml" in head):
        return "excel"
    known = SUFFIXES.get(path.suffix.lower())
    if known in ("parquet", "excel") and not head:
        raise EmptyData("The file is empty.", file=path)
    if known is None and head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"{", b"["):
        return "json"
    return known or "csv"


def _has_labels(table: Table, columns: Columns) -> bool:
    return columns.label is not None and any(_stripped(cell) for cell in table.columns[columns.label])


def _examples(table: Table, columns: Columns, labelled: bool) -> tuple[list[Example], list[str]]:
    """Rows with text (and label), as examples; notes on those left out."""
    texts, mended = clean(table.columns[columns.text])
    labels, rewritten = _names(table, columns.label)
    groups, _ = _names(table, columns.group)
    no_text = [place for place, text in enumerate(texts) if not text.strip()]
    no_label = [place for place, name in enumerate(labels) if labelled and name is None and texts[place].strip()]
    left_out = {*no_text, *no_label}
    kept = [place for place in range(len(table)) if place not in left_out]
    notes = _left_out_notes(table, columns, no_text, no_label, mended)
    if rewritten:
        notes.append(
            f"{counted(rewritten, 'label')} held letters written in parts (letter, then accent), read as whole."
        )
    if not kept:
        raise _nothing_left(table, columns, no_text)
    ids, repeated = _ids(table, columns.id, kept)
    if repeated:
        notes.append(f"{repeated} repeated ids in column {columns.id!r} are made unique by a suffix (#2, #3, …).")
    others = [name for name in table.columns if name not in (columns.text, columns.label, columns.id)]
    examples = [
        Example(
            texts[place],
            labels[place],
            id=name,
            group=groups[place],
            row=table.rows[place],
            fields={other: _stripped(table.columns[other][place]) for other in others},
        )
        for place, name in zip(kept, ids, strict=True)
    ]
    return examples, notes


def clean(cells: Sequence[Cell]) -> tuple[list[str], int]:
    """Texts without NUL (C libraries end there) and without half surrogate pairs (they cannot be encoded)."""
    texts = [sound(cell or "") for cell in cells]
    return texts, sum(text != (cell or "") for text, cell in zip(texts, cells, strict=True))


def _stripped(cell: Cell) -> Cell:
    return clean([cell])[0][0].strip() or None


def _names(table: Table, column: str | None) -> tuple[list[Cell], int]:
    """Labels or groups, and how many had to be composed: an accent of its own looks the same and is another string."""
    if column is None:
        return [None] * len(table), 0
    given = [_stripped(cell) for cell in table.columns[column]]
    composed = [cell and unicodedata.normalize("NFC", cell) for cell in given]
    return composed, sum(one != other for one, other in zip(given, composed, strict=True))


def _left_out_notes(
    table: Table, columns: Columns, no_text: Sequence[int], no_label: Sequence[int], mended: int
) -> list[str]:
    notes = []
    for places, lack in ((no_text, "text"), (no_label, "label")):
        if places:
            rows = listed([table.rows[place] for place in places])
            lacks = agreeing(len(places), f"has no {lack} and is", f"have no {lack} and are")
            notes.append(
                f"{len(places)} of {len(table)} rows {lacks} left out: {agreeing(len(places), 'row', 'rows')} {rows}."
            )
    if len(no_label) > len(table) / 2:
        notes.append(
            f"More than half of the rows have no label in column {columns.label!r}. Check that it is the right column; "
            "rows to predict belong in a file of their own."
        )
    if mended:
        notes.append(
            f"{counted(mended, 'text')} held NUL characters or broken Unicode; these characters are "
            "removed or replaced."
        )
    return notes


def _nothing_left(table: Table, columns: Columns, no_text: Sequence[int]) -> DataError:
    if len(no_text) == len(table):
        what = f"No row has text in column {columns.text!r}."
        return EmptyData(what, file=table.source, remedy="Check the text column (--text COLUMN).")
    what = f"No row has both text and a label in column {columns.label!r}."
    return TaskError(what, file=table.source, remedy="Check the label column (--label COLUMN).")


def _ids(table: Table, column: str | None, kept: Iterable[int]) -> tuple[list[str], int]:
    """One id a row, the row number where none is given; repeated ones numbered."""
    taken: set[str] = set()
    ids: list[str] = []
    repeated = 0
    given = table.columns[column] if column else []
    for place in kept:
        name = base = (_stripped(given[place]) if column else None) or str(table.rows[place])
        count = 1
        while name in taken:
            count += 1
            name = f"{base}#{count}"
        repeated += count > 1
        taken.add(name)
        ids.append(name)
    return ids, repeated
