"""Lines that stand at the head or foot of many rows: greetings of a form, signatures, disclaimers, "Sent from my …".

Found by repetition over the file, not by a list: a line (of a text of one line: a sentence) that begins or ends at
least `SHARE` of the distinct texts, and `LEAST` of them. A repeated line can mean something: none is taken unasked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from fewtune.data.clean.base import Cleaner

SHARE = 0.05
LEAST = 5
ZONE = 10
"""How many lines from either end are looked at: disclaimers are long."""
SHORTEST = 12
"""Letters and digits in what repeats, at least: "Hi" and "Thanks" are how people write, not what a form adds."""
MOST_ROUNDS = 10
ENOUGH = 20_000
"""Texts that show what repeats: of more, every second, third, … is looked at."""

End = Literal["head", "foot"]
_SENTENCE = re.compile(r"(?<=[.!?。！？…])(?:\s+|(?<=[。！？]))")
_DIGITS = re.compile(r"\d+")


@dataclass
class Boilerplate(Cleaner):
    """Repeated first and last lines."""

    name: ClassVar[str] = "boilerplate"
    title: ClassVar[str] = "lines repeated at the head or foot of many rows"
    unasked: ClassVar[bool] = False

    repeated: dict[End, frozenset[str]] = field(default_factory=dict)

    def fit(self, texts: Sequence[str]) -> None:
        """Find what repeats; again without it, for a signature may stand above a disclaimer."""
        self.repeated = {"head": frozenset(), "foot": frozenset()}
        distinct = list(dict.fromkeys(texts))
        pieces = [_pieces(text) for text in distinct[:: max(1, len(distinct) // ENOUGH)]]
        least = max(LEAST, SHARE * len(pieces))
        for _ in range(MOST_ROUNDS):
            found: dict[End, frozenset[str]] = {
                "head": _often((cut[:ZONE] for cut in pieces), least),
                "foot": _often((cut[-ZONE:] for cut in pieces), least),
            }
            if not (found["head"] - self.repeated["head"]) and not (found["foot"] - self.repeated["foot"]):
                break
            self.repeated = {end: self.repeated[end] | found[end] for end in self.repeated}
            pieces = [self._stripped(cut) for cut in pieces]

    def step(self, text: str) -> tuple[str, list[str]]:
        """Cut repeated pieces from both ends, from outside inwards."""
        if not any(self.repeated.values()):
            return text, []
        pieces = _pieces(text)
        kept = self._stripped(pieces)
        if len(kept) == len(pieces) or not kept:
            return text, []
        start, end = kept[0].start, kept[-1].end
        gone = [piece.text for piece in pieces if piece.end <= start or piece.start >= end]
        return text[start:end], [f"stands in many rows: {_short(piece)}" for piece in gone]

    def _stripped(self, pieces: Sequence[_Piece]) -> list[_Piece]:
        first, last = 0, len(pieces)
        while first < last and pieces[first].key in self.repeated.get("head", ()):
            first += 1
        while last > first and pieces[last - 1].key in self.repeated.get("foot", ()):
            last -= 1
        return list(pieces[first:last])


@dataclass(frozen=True)
class _Piece:
    """A line, or a sentence of a text of one line."""

    text: str
    start: int
    end: int

    @cached_property
    def key(self) -> str:
        """What counts as the same: letter case, spaces and numbers do not matter."""
        return _DIGITS.sub("0", " ".join(self.text.casefold().split()))


def _pieces(text: str) -> list[_Piece]:
    """Lines with something on them; sentences where there is one line."""
    bounds = _bounds(text, re.finditer("\n", text))
    if len(bounds) == 1:
        bounds = _bounds(text, _SENTENCE.finditer(text))
    return [_Piece(text[start:end], start, end) for start, end in bounds]


def _bounds(text: str, cuts: Iterable[re.Match[str]]) -> list[tuple[int, int]]:
    """Stretches between cuts, without outer white space, empty ones left out."""
    found, here = [], 0
    for start, end in [*(cut.span() for cut in cuts), (len(text), len(text))]:
        piece = text[here:start]
        if bare := piece.strip():
            first = here + len(piece) - len(piece.lstrip())
            found.append((first, first + len(bare)))
        here = end
    return found


def _often(zones: Iterable[Sequence[_Piece]], least: float) -> frozenset[str]:
    """Keys that stand in at least so many zones of texts that hold more than that piece."""
    counts: Counter[str] = Counter()
    for zone in zones:
        if len(zone) > 1:
            counts.update({piece.key for piece in zone if _is_long(piece)})
    return frozenset(key for key, count in counts.items() if count >= least)


def _is_long(piece: _Piece) -> bool:
    return sum(mark.isalnum() for mark in piece.text) >= SHORTEST


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= 60 else flat[:59] + "…")
