"""One label from several annotators: the majority's, with how many agreed; a tie is nobody's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fewtune.data.readers.base import Cell
from fewtune.plural import agreeing, counted

NAMED = 10
"""Rows named in a note."""


@dataclass
class Votes:
    """Labels given to rows, collected row by row."""

    labels: list[Cell] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    """Annotations of each row."""
    agreed: list[int] = field(default_factory=list)
    """How many of them gave the label taken (or the commonest, in a tie)."""
    tied: dict[int, list[str]] = field(default_factory=dict)
    """Place → the labels between which it is tied."""
    several: list[int] = field(default_factory=list)
    """Places where one annotator gave several labels at once."""

    def add(self, votes: Sequence[Sequence[str]]) -> None:
        """A row's annotations, each with the labels it gave."""
        place = len(self.labels)
        single = [labels[0].strip() for labels in votes if len(labels) == 1 and labels[0].strip()]
        if len(single) < len(votes) and any(len(labels) > 1 for labels in votes):
            self.several.append(place)
        counts = Counter(single).most_common()
        best = [label for label, count in counts if count == counts[0][1]]
        self.given.append(len(single))
        self.agreed.append(counts[0][1] if counts else 0)
        self.labels.append(best[0] if len(best) == 1 else None)
        if len(best) > 1:
            self.tied[place] = sorted(best)

    def columns(self) -> dict[str, list[Cell]]:
        """`annotations` and `agreement`, where some row has more than one annotation."""
        if max(self.given, default=0) < 2:
            return {}
        pairs = list(zip(self.agreed, self.given, strict=True))
        return {
            "annotations": [str(given) for given in self.given],
            "agreement": [f"{agreed / given:.2f}" if given else None for agreed, given in pairs],
        }

    def notes(self, rows: Sequence[int]) -> list[str]:
        """Sentences on agreement, ties and rows of several labels; `rows` are the rows' numbers."""
        notes = []
        shared = [place for place, given in enumerate(self.given) if given > 1]
        if shared:
            whole = sum(self.agreed[place] == self.given[place] for place in shared)
            share = sum(self.agreed[place] / self.given[place] for place in shared) / len(shared)
            notes.append(
                f"{counted(len(shared), 'row has', 'rows have')} several annotations: the majority's label is taken. "
                f"All agree in {whole} of "
                f"them; on average {100 * share:.0f} % of a row's annotations do."
            )
        if self.tied:
            said = [f"{rows[place]} ({' or '.join(labels)})" for place, labels in self.tied.items()]
            more = f" and {len(said) - NAMED} more" if len(said) > NAMED else ""
            notes.append(
                f"{counted(len(said), 'row is', 'rows are')} tied between labels, with none until "
                f"somebody decides: {agreeing(len(said), 'row', 'rows')} "
                f"{', '.join(said[:NAMED])}{more}."
            )
        if self.several:
            numbers = [str(rows[place]) for place in self.several[:NAMED]]
            more = f" and {len(self.several) - NAMED} more" if len(self.several) > NAMED else ""
            notes.append(
                f"In {counted(len(self.several), 'row')} an annotator chose several labels at once; such an answer is "
                f"not counted, as one label a row is learned: "
                f"{agreeing(len(self.several), 'row', 'rows')} {', '.join(numbers)}{more}."
            )
        return notes
