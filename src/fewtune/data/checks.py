"""Whether labelled rows make a classification task, and what is odd about them."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from fewtune.data.base import Dataset
from fewtune.errors import TaskError

MOST_CLASSES = 1000
MOST_LEVELS = 20
"""Up to this many distinct numbers are grades or codes; beyond it they look like a quantity."""


SPELLINGS = "letter case, spaces or the writing of a number"
"""What labels may differ in and yet mean the same."""
WRITTEN_FOR_NOTHING = ("na", "n/a", "nan", "null", "none")
"""What programs write where there is no value."""


def check_task(texts: Sequence[str], labels: Sequence[str], source: str, label_column: str) -> list[str]:
    """Notes about the classes of `labels`.

    Raises
    ------
    TaskError
        One class, all texts equal, numbers to predict, or about as many classes as rows.
    """
    sizes = Counter(labels)
    if len(sizes) == 1:
        rows = "The only labelled row has" if len(labels) == 1 else f"All {len(labels)} labelled rows have"
        what = f"{rows} the one label {short(labels[0])}."
        raise TaskError(what, file=source, remedy="Two classes or more are needed: add rows of another class.")
    if len(set(texts)) == 1:
        what = f"All {len(texts)} rows have the same text."
        raise TaskError(what, file=source, remedy="Check the text column (--text COLUMN).")
    if looks_like_a_quantity(labels):
        what = f"Column {label_column!r} holds {len(sizes)} distinct numbers, a quantity to predict (regression)."
        remedy = "fewtune learns classes: cut the numbers into a few ranges, or choose another --label COLUMN."
        raise TaskError(what, file=source, remedy=remedy)
    _refuse_too_many(labels, sizes, source, label_column)
    return [*_single_row_note(sizes), *spelling_notes(sizes), *_missing_note(sizes)]


def check_classes_are_asked(dataset: Dataset) -> None:
    """Raises TaskError for rows that are prompts and completions: what fits classes can do nothing with them."""
    if dataset.task == "classification":
        return
    raise TaskError(
        f"These rows are prompts and what is to be written after them ({dataset.task}); here classes are asked for.",
        file=dataset.source,
        remedy="Where the completions are classes, name the columns: --text prompt --label completion. A model that "
        "writes is tuned by `fewtune fit`, or in Python by TextGenerator.",
    )


def looks_like_a_quantity(labels: Sequence[str]) -> bool:
    """Whether the labels are numbers that measure rather than codes that name.

    Integer codes are few, or run from 0 or 1 without wide gaps, or have ten rows each on average.
    """
    numbers = {value for label in set(labels) if (value := _number(label)) is not None}
    distinct = len(set(labels))
    if len(numbers) < 0.9 * distinct:
        return False
    if any(not value.is_integer() for value in numbers):
        return distinct > min(10, len(labels) / 2)
    dense = min(numbers) in (0, 1) and max(numbers) <= 2 * distinct
    return distinct > MOST_LEVELS and not dense and distinct > len(labels) / 10


def _number(label: str) -> float | None:
    try:
        value = float(label.replace(",", ".", 1))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _refuse_too_many(labels: Sequence[str], sizes: Counter[str], source: str, label_column: str) -> None:
    single = sum(count == 1 for count in sizes.values())
    few_a_class = len(sizes) > max(2, len(labels) / 2) and single > len(sizes) / 2
    if not few_a_class and len(sizes) <= MOST_CLASSES:
        return
    what = f"Column {label_column!r} holds {len(sizes)} distinct labels in {len(labels)} rows."
    if sum(map(len, sizes)) / len(sizes) > 40:
        remedy = "They read like texts to write, not classes; choose another --label COLUMN."
    elif few_a_class:
        remedy = "A class is learned from several rows: merge classes, add rows, or choose another --label COLUMN."
    else:
        remedy = f"More than {MOST_CLASSES} classes is search, not classification: merge them into fewer."
    raise TaskError(what, file=source, remedy=remedy)


def _single_row_note(sizes: Counter[str]) -> list[str]:
    single = [name for name, count in sizes.items() if count == 1]
    if not single:
        return []
    said = "Class" if len(single) == 1 else f"{len(single)} classes"
    return [
        f"{said} {listed([short(name) for name in single])} with one row: when that row is tested nothing of its class "
        "is left to learn from, so it is counted wrong. Add rows, or merge the class into another."
    ]


def _missing_note(sizes: Counter[str]) -> list[str]:
    written = [name for name in sizes if name.casefold() in WRITTEN_FOR_NOTHING]
    if not written:
        return []
    rows = sum(sizes[name] for name in written)
    said = f"Label {short(written[0])}" if len(written) == 1 else f"Labels {listed([short(name) for name in written])}"
    of = "1 row is" if rows == 1 else f"{rows} rows are"
    return [f"{said}: {of} read as of a class so called. If it stands for no label, empty these cells."]


def spelling_notes(sizes: Mapping[str, int]) -> list[str]:
    """A note for each set of labels that are one but for how they are written."""
    return [
        f"Labels that differ in {SPELLINGS} only are kept apart: {listed([short(name) for name in names])}."
        for names in spelled_alike(sizes)
    ]


def spelled_alike(labels: Iterable[str]) -> list[list[str]]:
    """Sets of labels that are one but for how they are written."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in labels:
        spellings[_plainly(name)].append(name)
    return [names for names in spellings.values() if len(names) > 1]


def _plainly(label: str) -> str:
    """In lower case with single spaces, a number as it counts: `1.0` and `01` are `1`."""
    plain = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
    try:
        number = float(plain)
    except ValueError:
        return plain
    return repr(number) if math.isfinite(number) else plain


def listed(items: Sequence[object], most: int = 10) -> str:
    """The first items, joined, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more


def short(label: str) -> str:
    """A label quoted for a message, cut at 40 characters."""
    return repr(label if len(label) <= 40 else label[:39] + "…")
