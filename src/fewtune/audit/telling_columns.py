"""Columns beside the text that give the label away: groups, dates, ids, the order of the rows.

fewtune reads the text alone, so such a column is no leak by itself. It says how the rows came about: a customer whose
rows all have one label can be recognised by the text, classes collected one after another bring the weeks' subjects
with them.

Each column is looked at in every way it can be read: as names, as the beginning of a code (`BIL-0012`), as a number,
as a date. A reading counts when it tells held-out rows much better than the commonest class and better than chance
could (`chance.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.base import Check, Finding, Ground, Need, Severity, named
from fewtune.audit.telling import CERTAIN, Telling, by_tree, by_value, one_of_each, telling

Cell = str | None
Role = Literal["group", "values", "code", "number", "time", "order", "label"]

TELLS = 0.3
"""Share of the way from chance to perfect from which on a column is named."""
TELLS_MUCH = 0.8
"""From which on a column of groups that nobody named as such makes a result invalid."""
ALIKE = 0.99
"""Rows whose value stands for one label and the other way round: the label in another column."""
MOST_ROWS_SHOWN = 50
LONG_TEXT = 60
FEWEST_ROWS = 20
_WHERE = {"order": "The order of the rows", "id": "The id"}
_DATES = (
    "ISO8601",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%Y/%m/%d",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M",
)


class TellingColumns(Check):
    """Columns that tell the label by themselves."""

    name: ClassVar[str] = "telling_columns"
    title: ClassVar[str] = "Columns that give the label away"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """One finding a column, by its most telling reading."""
        rows_N = one_of_each(ground.spelled, ground.seed)
        examples = [ground.train.examples[row] for row in rows_N]
        labels_N = np.unique([example.label for example in examples], return_inverse=True)[1].astype(np.int64)
        if len(rows_N) < FEWEST_ROWS or labels_N.max() == 0:
            return
        columns = _columns(ground, rows_N)
        readings = {name: dict(_readings(name, values, labels_N)) for name, values in columns.items()}
        for name, found in readings.items():
            if name != "order" and _counts_up(found.get("number")):
                del found["number"]  # said by the order of the rows
        probes = max(1, sum(map(len, readings.values())))
        for name, found in readings.items():
            ground.tick()
            if "label" in found:
                yield self._alias(name)
                continue
            told = {role: _told(reading, labels_N, ground.seed) for role, reading in found.items()}
            best = max(told, key=lambda role: told[role].gain, default=None)
            if best is not None and told[best].gain >= TELLS and told[best].p < CERTAIN / probes:
                yield self._finding(ground, name, best, told[best])

    def _alias(self, name: str) -> Finding:
        return Finding(
            self.name,
            "note",
            f"Column {name!r} is the label under another name.",
            "fewtune reads the text alone, so nothing leaks; another tool that reads all columns would.",
            "Leave it out of what other tools learn from.",
            numbers={"column": name, "as": "label"},
        )

    def _finding(self, ground: Ground, name: str, role: Role, found: Telling) -> Finding:
        grouped = all(example.group is not None for example in ground.train)
        severity: Severity = "warning"
        if role == "order":
            severity = "note"
        elif role == "group" and not grouped and found.gain >= TELLS_MUCH:
            severity = "blocks"
        column = name if role == "order" or name == "id" else f"column {name!r}"
        where = _WHERE.get(name, f"Column {name!r}")
        reason, do = _advice(role, name, grouped=grouped)
        return Finding(
            self.name,
            severity,
            f"{where} alone tells {100 * found.accuracy:.0f} % of the labels right ({100 * found.chance:.0f} % by "
            "always answering the commonest class).",
            reason,
            do,
            tuple(
                named("train", example, note=f"{column}: {_shown(name, example.fields.get(name), example.id)}")
                for example in ground.train.examples[:MOST_ROWS_SHOWN]
            )
            if role != "order"
            else (),
            {"column": name, "as": role, "accuracy": found.accuracy, "chance": found.chance, "p": found.p},
        )


def _shown(name: str, cell: Cell, id: str) -> str:
    return id if name == "id" else cell or "(empty)"


def _advice(role: Role, name: str, *, grouped: bool) -> tuple[str, str]:
    if role == "group" and grouped:
        return (
            "Each group has nearly one label: the classes are as few groups, and scores are as unsure as those few.",
            "Label rows of other groups for each class.",
        )
    if role == "group":
        return (
            "Rows that share a value also share a label. If their texts betray the value (a name, a style, a "
            "signature), cross-validation counts recognising it as having understood.",
            f"Keep them together: --group {name!r}. Then the score is one for new values.",
        )
    if role == "time":
        return (
            "The classes were collected at different times: what the weeks had in common is learnt with them.",
            "Judge by time: learn from the earlier rows, test on the later (`fewtune split --time`), or collect each "
            "class over the whole time.",
        )
    if role == "order":
        return (
            "The file is sorted by label. Nothing is wrong with that: splits are shuffled.",
            "If the order is also that of collection, ask whether each class came from a source of its own.",
        )
    return (
        "It follows from the label or stands for how the rows were collected; the text may betray it.",
        "Ask where it comes from. If each value is a source with its own way of writing, keep sources together with "
        f"--group {name!r}; if it is set after the label, it does no harm.",
    )


def _columns(ground: Ground, rows_N: NDArray[np.int64]) -> dict[str, list[Cell]]:
    examples = [ground.train.examples[row] for row in rows_N]
    names = dict.fromkeys(name for example in examples for name in example.fields)
    columns: dict[str, list[Cell]] = {name: [example.fields.get(name) for example in examples] for name in names}
    if any(example.id != str(example.row) for example in examples):
        columns["id"] = [example.id for example in examples]
    if not names and any(example.group is not None for example in examples):
        columns["group"] = [example.group for example in examples]
    columns["order"] = [str(row) for row in rows_N]
    return columns


def _counts_up(reading: object) -> bool:
    """Numbers that only say where in the file a row stands."""
    return isinstance(reading, np.ndarray) and reading.shape[1] == 1 and bool((np.diff(reading[:, 0]) > 0).all())


def _readings(name: str, cells: Sequence[Cell], labels_N: NDArray[np.int64]) -> Iterator[tuple[Role, object]]:
    """The ways a column can be read: names as they are, numbers as [N, F] arrays."""
    filled = [cell for cell in cells if cell]
    if len(filled) < FEWEST_ROWS / 2:
        return
    if name == "order":
        yield "order", np.asarray([[float(cell or 0)] for cell in cells])
        return
    distinct = Counter(filled)
    if len(distinct) == 1 or np.mean([len(cell) for cell in filled]) > LONG_TEXT:
        return
    classes = int(labels_N.max()) + 1
    if _is_label(cells, labels_N, classes):
        yield "label", cells
        return
    if (times := _times(cells)) is not None:  # days may repeat as customers do, and are none
        yield "time", times
        return
    repeated = sum(count for count in distinct.values() if count > 1) / len(filled)
    if repeated > 0.5:
        yield ("group" if len(distinct) >= 2 * classes else "values"), cells
    beginnings = [re.match(r"[^\W\d]+", cell or "") for cell in cells]
    codes = [found.group() if found else None for found in beginnings]
    if repeated <= 0.5 and len(set(codes)) > 1 and any(any(map(str.isdigit, cell)) for cell in filled):
        yield "code", codes
    if (numbers := _numbers(cells)) is not None:
        yield "number", numbers


def _is_label(cells: Sequence[Cell], labels_N: NDArray[np.int64], classes: int) -> bool:
    """Whether values and labels stand for each other one to one."""
    pairs = Counter(zip(cells, labels_N.tolist(), strict=True))
    most = {cell: count for (cell, _), count in sorted(pairs.items(), key=lambda item: item[1])}
    return len(set(cells)) == classes and sum(most.values()) >= ALIKE * len(cells) and _one_to_one(pairs, classes)


def _one_to_one(pairs: Counter[tuple[Cell, int]], classes: int) -> bool:
    best: dict[Cell, int] = {}
    for (cell, label), _ in pairs.most_common():
        best.setdefault(cell, label)
    return len(set(best.values())) == classes


def _numbers(cells: Sequence[Cell]) -> NDArray[np.float64] | None:
    """[N, 1] of the number in each cell, its last digits for a code such as `T0012`; None where most have none."""
    found = [re.search(r"-?\d+(?:[.,]\d+)?$", cell.strip()) if cell else None for cell in cells]
    if sum(one is not None for one in found) < 0.9 * len(cells):
        return None
    values = [float(one.group().replace(",", ".")) if one else 0.0 for one in found]
    array = np.asarray(values)[:, None]
    if any(cell and re.search(r"\d[-/.:]\d+[-/.: ]", cell) for cell in cells[:50]):  # a date, not its last digits
        return None
    return np.clip(array, -1e30, 1e30) if len(set(values)) > 2 else None


def _times(cells: Sequence[Cell]) -> NDArray[np.float64] | None:
    """[N, 3] moment, day of the week, hour; None where most cells are no dates."""
    import pandas as pd

    series = pd.Series(list(cells), dtype=object)
    for form in _DATES:
        try:
            parsed = pd.to_datetime(series, format=form, errors="coerce", utc=True)
        except (ValueError, TypeError, OverflowError):
            continue
        if parsed.notna().mean() >= 0.9:
            times = [time.to_pydatetime() for time in parsed.fillna(parsed.min())]
            return np.asarray([[time.timestamp(), time.weekday(), time.hour] for time in times], dtype=np.float64)
    return None


def _told(reading: object, labels_N: NDArray[np.int64], seed: int) -> Telling:
    if isinstance(reading, np.ndarray):
        return telling(by_tree(reading, labels_N, seed), labels_N)
    assert isinstance(reading, list)
    return telling(by_value(reading, labels_N, seed), labels_N)
