"""Slot error rate: what a text made from data leaves out, says twice, or makes up.

ERR = (missing + repeated + added) / slots, summed over all rows (Wen and others 2015), as far as values can be found by
their words. How a value is looked for:

- Case, accents and punctuation are left aside, `fisherman's` is `fishermans`; whole words must match, in a row.
- Longer values are found first: *mission* is not found inside *mission bay*.
- `A or B` is said where both are said, with any word between. A value that two slots share need be said once, and
  may be said as often as there are slots for it.
- A slot has several wordings where a user's column says so; one of them is enough.

Not counted, since no word tells that they were said: a slot without a value (it is asked for), `dont_care`, `yes`,
`no`, `true`, `false`, `none`. Give wordings in a column of slots to have them counted.

*Added* is a value of another row, said here without being asked for. Some values are also plain words (`restaurant`,
`american`): one that the references of rows without it mention more often than a tenth as often as those of rows with
it is not held against a text. Without references, added values are not counted for values seen in fewer than two rows.

The references make errors too by this count. Read the rate beside theirs (`reference_error` in `score_all`).

References
----------
Wen, Gašić, Mrkšić, Su, Vandyke, Young: Semantically conditioned LSTM-based natural language generation for spoken
dialogue systems. EMNLP 2015.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.metrics.base import FloatArray
from fewtune.metrics.corpus import RowStatistics, ratio
from fewtune.metrics.representation import Slot

Words = tuple[str, ...]

UNSAYABLE = {"dont care", "do not care", "dontcare", "yes", "no", "true", "false", "none", "null", "any", "na"}
"""Values, without punctuation, that texts tell in other words than their own."""
PLAIN_WORD = 0.1
"""A value mentioned unasked more often than this, per time it is mentioned when asked, is a plain word."""
JOINED = re.compile(r"\s+or\s+")
APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
NOT_A_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class SlotCount:
    """What one text did with its slots."""

    slots: int
    missing: tuple[str, ...]
    """Names of slots not said."""
    repeated: tuple[str, ...]
    """Values said more often than asked for, once for each time too many."""
    added: tuple[str, ...]
    """Values said that nobody asked for."""

    @property
    def errors(self) -> int:
        """All three."""
        return len(self.missing) + len(self.repeated) + len(self.added)


def words_of(text: str) -> Words:
    """Folded words: no case, no accents, no punctuation."""
    bare = unicodedata.normalize("NFKD", APOSTROPHE.sub("", text)).casefold()
    bare = "".join(character for character in bare if not unicodedata.combining(character))
    return tuple(NOT_A_WORD.sub(" ", bare).split())


def sayable(slot: Slot) -> tuple[tuple[Words, ...], ...]:
    """The wordings that can be looked for, each as the parts that must all be said; none where no word tells."""
    found = []
    for wording in slot.wordings:
        if " ".join(words_of(wording)) in UNSAYABLE:
            continue
        parts = tuple(words for words in map(words_of, JOINED.split(wording)) if words)
        if parts:
            found.append(parts)
    return tuple(found)


@dataclass(frozen=True)
class SlotCounter:
    """Counts errors against the slots of a row, with what other rows tell of which values there are."""

    known: frozenset[Words]
    """Values that count as added where they are said unasked."""

    @classmethod
    def of(cls, slots: Sequence[Sequence[Slot]], references: Sequence[Sequence[str]] | None = None) -> SlotCounter:
        """Learn the values from rows, and from their references which of them are plain words."""
        asked_N = [frozenset(_values(row)) for row in slots]
        if references is None:
            rows_with = Counter(value for asked in asked_N for value in asked)
            return cls(frozenset(value for value, rows in rows_with.items() if rows > 1))
        everything = _Finder(value for asked in asked_N for value in asked)
        when_asked: Counter[Words] = Counter()
        unasked: Counter[Words] = Counter()
        for asked, given in zip(asked_N, references, strict=True):
            for text in given:
                for value in set(everything.find(words_of(text))):
                    (when_asked if value in asked else unasked)[value] += 1
        known = {value for asked in asked_N for value in asked}
        return cls(frozenset(value for value in known if unasked[value] <= PLAIN_WORD * when_asked[value]))

    def count(self, slots: Sequence[Slot], text: str) -> SlotCount:
        """What `text` left out, said twice and made up."""
        wanted = [(slot.name, ways) for slot in slots if (ways := sayable(slot))]
        allowed = Counter(value for _, ways in wanted for value in {part for parts in ways for part in parts})
        said = Counter(_Finder([*self.known, *allowed]).find(words_of(text)))
        missing = [name for name, ways in wanted if not any(all(said[part] for part in parts) for parts in ways)]
        repeated = {value: said[value] - times for value, times in allowed.items() if said[value] > times}
        added = {value: times for value, times in said.items() if value not in allowed}
        return SlotCount(len(wanted), tuple(missing), _listed(repeated), _listed(added))

    def counts(self, slots: Sequence[Sequence[Slot]], outputs: Sequence[str]) -> list[SlotCount]:
        """[N] of each row."""
        return [self.count(row, output) for row, output in zip(slots, outputs, strict=True)]


class _Finder:
    """Finds values in words, the longest first at every place."""

    def __init__(self, values: Iterable[Words]) -> None:
        self.values = frozenset(values)
        self.lengths = sorted({len(value) for value in self.values}, reverse=True)

    def find(self, words: Words) -> list[Words]:
        """The values, in order, none overlapping another."""
        found, place = [], 0
        while place < len(words):
            here = next((n for n in self.lengths if words[place : place + n] in self.values), 0)
            if here:
                found.append(words[place : place + here])
            place += here or 1
        return found


def _values(slots: Iterable[Slot]) -> Iterable[Words]:
    return (part for slot in slots for parts in sayable(slot) for part in parts)


def _listed(counts: dict[Words, int]) -> tuple[str, ...]:
    return tuple(" ".join(value) for value, times in counts.items() for _ in range(times))


def slot_error(counts: Sequence[SlotCount]) -> RowStatistics:
    """The rate from each row's count."""
    stats_NF = np.array([[c.errors, len(c.missing), len(c.repeated), len(c.added), c.slots] for c in counts], float)
    return RowStatistics(
        "slot_error",
        stats_NF,
        ratio,
        higher_is_better=False,
        bounds=(0.0, np.inf),
        extremes=_extremes,
        signature="err:missing+repeated+added|match:folded words",
        parts={"missing": 1, "repeated": 2, "added": 3, "slots": 4},
    )


def _extremes(mean_F: FloatArray) -> tuple[FloatArray, FloatArray]:
    """No error, and every slot missing: what is repeated and added has no most."""
    low_F, high_F = mean_F.copy(), mean_F.copy()
    low_F[0], high_F[0] = 0.0, max(mean_F[0], mean_F[-1])
    return low_F, high_F


__all__ = ["SlotCount", "SlotCounter", "sayable", "slot_error", "words_of"]
