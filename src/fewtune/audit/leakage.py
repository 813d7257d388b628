"""Is the test file new to the training file? Copies and rewordings, relatives, and rows of the same group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from fewtune.audit.base import Check, Finding, Ground, Need, Row, Severity, named
from fewtune.audit.leaks import KINDS, Leak, LeakKind

MOVES = 0.005
"""A share of leaked rows from which on the test score could move by half a point were they all remembered."""
MOVES_REWORDED = 0.02
"""The same for rewordings, of which up to one test row in a hundred is found where none was planted."""


class _Leaks(Check):
    """Test rows leaked by certain measures."""

    needs: ClassVar[frozenset[Need]] = frozenset({"test"})
    kinds: ClassVar[tuple[LeakKind, ...]]
    moves: ClassVar[float] = MOVES
    what: ClassVar[str]
    reason: ClassVar[str]
    do: ClassVar[str]

    def run(self, ground: Ground) -> Iterator[Finding]:
        """All rows of these measures in one finding, which blocks where they could move the score."""
        found = [leak for leak in ground.leaks if leak.kind in self.kinds]
        if not found:
            return
        count, total = len(found), len(ground["test"])
        yield Finding(
            self.name,
            self._severity(count, total),
            self.what.format(count=count, total=total, are="is" if count == 1 else "are"),
            f"{self.reason} They alone could move the test score by up to {round(100 * count / total, 1):g} points.",
            self.do,
            tuple(_rows(ground, found)),
            {"share": round(count / total, 4), "by_measure": dict(Counter(leak.kind for leak in found))},
        )

    def _severity(self, count: int, total: int) -> Severity:
        return "blocks" if count / total >= self.moves else "warning"


class Leakage(_Leaks):
    """Copies and near copies of training rows."""

    name: ClassVar[str] = "leakage"
    title: ClassVar[str] = "Test rows that stand in training"
    kinds = ("exact", "normalised", "near")
    what = "{count} of {total} test rows {are} also in the training file, word for word or nearly so."
    reason = "A model is right on them for having seen them, not for having learnt anything."
    do = "Take them out of the test file (`fewtune fit` scores the other rows), or out of the training file."


class RewordedLeakage(_Leaks):
    """Rewordings of training rows."""

    name: ClassVar[str] = "reworded_leakage"
    title: ClassVar[str] = "Test rows that reword training rows"
    needs: ClassVar[frozenset[Need]] = frozenset({"test", "vectors"})
    kinds = ("reworded",)
    moves = MOVES_REWORDED
    what = "{count} of {total} test rows {are} a training row in nearly the same words."
    reason = "Paraphrases and translations to and fro of training rows are nearly as easy as the rows themselves."
    do = "Read them beside their twins: if they were made from them, take them out of the test file."


class Descendants(_Leaks):
    """Relatives of training rows: augmented or synthetic rows and what they were made from."""

    name: ClassVar[str] = "descendants"
    title: ClassVar[str] = "Test rows related to training rows"
    kinds = ("family",)
    what = "{count} of {total} test rows {are} related to a training row: parent, child or sibling."
    reason = "What was made from a row carries its words and its label across the split."
    do = "Split first, augment afterwards; or split by family (`fewtune split` keeps parent and child together)."


class SharedGroups(_Leaks):
    """Groups that stand on both sides."""

    name: ClassVar[str] = "shared_groups"
    title: ClassVar[str] = "Groups in both files"
    kinds = ("group",)
    what = "{count} of {total} test rows {are} of a group that is also in the training file."
    reason = "You named the group as what belongs together: the model may know the group instead of the task."
    do = "Split by group: `fewtune split FILE --group COLUMN`."


def _rows(ground: Ground, found: Sequence[Leak]) -> Iterator[Row]:
    order = list(KINDS)
    for leak in sorted(found, key=lambda leak: (order.index(leak.kind), -leak.similarity, leak.test)):
        row, twin = ground["test"].examples[leak.test], ground.train.examples[leak.train]
        label = f", labelled {twin.label!r} there" if row.label is not None and twin.label != row.label else ""
        note = f"{leak.kind}: training row {twin.row}{label}"
        note += "" if leak.kind == "exact" else f": {twin.text}"
        yield named("test", row, note=note, score=leak.similarity)
