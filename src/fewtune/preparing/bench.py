"""The bench rows lie on while they are cleaned: cells as they stand now, and every change made to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from fewtune.data.clean.log import Change, Decision
from fewtune.data.columns import Columns
from fewtune.data.readers.base import Table

Decide = Callable[[Change, int], Decision]
"""Asked about a proposal, told how many of its kind are still to come (it counted): a person, or a rule."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def writable_names(table: Table) -> Table:
    """The table with column names that every file can hold; itself where they are."""
    names: dict[str, str] = {}
    for given in table.columns:
        name = base = _SURROGATE.sub("\ufffd", given)
        count = 1
        while name in names.values() or (name != given and name in table.columns):
            count += 1
            name = f"{base} ({count})"
        names[given] = name
    if all(given == name for given, name in names.items()):
        return table
    return replace(
        table,
        columns={names[given]: cells for given, cells in table.columns.items()},
        values={names[given]: cells for given, cells in table.values.items()},
        nested=frozenset(names[given] for given in table.nested),
    )


@dataclass
class Bench:
    """Rows under work. `place` counts from 0 here, from 1 in the log."""

    table: Table
    columns: Columns
    taken: frozenset[str]
    """Cleaners whose proposals are taken where nobody decides."""
    decide: Decide | None = None
    decided: Mapping[str, bool] = field(default_factory=dict)
    """Decisions of earlier reviews, by the change's key."""
    answers: tuple[str, ...] = ()
    """Of preferences, the columns of answers: texts beside the text."""

    def __post_init__(self) -> None:
        given = self.table.values or self.table.columns
        self.cells: dict[str, list[object]] = {name: list(cells) for name, cells in given.items()}
        self.changes: list[Change] = []
        self.dropped: set[int] = set()
        self._passed: dict[tuple[int, str | None, str], Change] = {}
        """Proposals not taken, the last for each cell and cleaner."""
        self.ids = self._ids()
        self._mend()

    def __len__(self) -> int:
        return len(self.table)

    def cell(self, column: str, place: int) -> str:
        """A cell as text."""
        value = self.cells[column][place]
        return value if isinstance(value, str) else (self.table.columns[column][place] or "")

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns that hold what is cleaned."""
        return tuple(dict.fromkeys((self.columns.text, *self.answers)))

    def texts(self, column: str | None = None) -> list[str]:
        """Every text of a column as it stands, of the text column when none is named."""
        return [self.cell(column or self.columns.text, place) for place in range(len(self))]

    def change(self, place: int, column: str | None, cleaner: str, after: str | None, reason: str) -> Change:
        """A proposal for a cell, or for a row where `column` is None."""
        before: object = self.row(place) if column is None else self.cell(column, place)
        row, name = self.table.rows[place], self.ids[place]
        return Change(row, place + 1, name, column, cleaner, before, after, reason)

    def row(self, place: int) -> dict[str, object]:
        """A whole row as it stands."""
        return {name: cells[place] for name, cells in self.cells.items()}

    def settle(self, proposals: list[Change]) -> list[int]:
        """Decide on proposals of one cleaner, take those accepted; gives back the places of these."""
        taken = []
        for number, proposal in enumerate(proposals):
            cell = proposal.place, proposal.column, proposal.cleaner
            if cell in self._passed and self._passed[cell].decision == "rejected":
                continue  # said no to already: what another cleaner changed since makes it no better
            settled = replace(proposal, decision=self._decision(proposal, len(proposals) - number))
            if settled.decision == "applied":
                self._passed.pop(cell, None)
                self._apply(settled)
                taken.append(proposal.place - 1)
            else:
                self._passed[cell] = settled
        return taken

    def log(self) -> list[Change]:
        """What was done in its order, then what was not."""
        waiting = sorted(self._passed.values(), key=lambda change: (change.place, change.cleaner))
        return [*self.changes, *waiting]

    def _decision(self, proposal: Change, left: int) -> Decision:
        known = self.decided.get(proposal.key)
        if known is not None:
            return "applied" if known else "rejected"
        if self.decide is not None:
            return self.decide(proposal, left)
        return "applied" if proposal.cleaner in self.taken else "open"

    def _apply(self, change: Change) -> None:
        self.changes.append(change)
        if change.column is None:
            self.dropped.add(change.place - 1)
        else:
            self.cells[change.column][change.place - 1] = change.after

    def _ids(self) -> list[str]:
        column = self.columns.id
        given = self.table.columns[column] if column else [None] * len(self)
        return [
            (_SURROGATE.sub("\ufffd", name).strip() if name else "") or str(row)
            for name, row in zip(given, self.table.rows, strict=True)
        ]

    def _mend(self) -> None:
        """Halves of surrogate pairs are in no UTF-8 file: these alone are replaced whatever was asked, and logged."""
        for column, cells in self.cells.items():
            for place, value in enumerate(cells):
                if isinstance(value, str) and _SURROGATE.search(value):
                    joined = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
                    why = "halves of surrogate pairs joined or replaced: no file can hold them"
                    self._apply(replace(self.change(place, column, "encoding", joined, why), decision="applied"))
