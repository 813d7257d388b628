"""Characters nobody sees: control codes, zero-width spaces, stray marks of writing direction, terminal colours.

What writing needs stays: joiners inside emoji and in Arabic, Persian and Indic words, direction marks in texts with
right-to-left letters, zero-width spaces between Thai, Lao, Khmer and Burmese words, tags in flags.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import ClassVar

from fewtune.data.clean.base import Cleaner

JOINERS = "\u200c\u200d"
DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
SEPARATORS = "\x1c\x1d\x1e\x1f"
"""Stood between fields: a space stands for them."""
FIRST_JOINING = 0x0590
"""Letters before Hebrew (Latin, Greek, Cyrillic, Armenian) are never joined or parted by invisible characters."""
UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF))
"""Thai and Lao, Burmese, Khmer: words are written without spaces, and a zero-width one may part them."""
BLACK_FLAG = "\U0001f3f4"

_SUSPECT = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f\x81\x8d\x8f\x90\x9d]|(?<![\xc2\xc3])\xad|[\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffc\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Not the control codes 80 to 9F that stand for Windows-1252 letters, nor a soft hyphen that is half of a misread `í`:
`encoding` can mend those."""
_COLOUR = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]")
_FLAG = re.compile(BLACK_FLAG + "[\U000e0020-\U000e007e]{1,10}\U000e007f")


class Characters(Cleaner):
    """Control and invisible characters."""

    name: ClassVar[str] = "characters"
    title: ClassVar[str] = "control and invisible characters"

    def step(self, text: str) -> tuple[str, list[str]]:
        """Remove what is not needed where it stands."""
        if (text.isprintable() and "\ufffc" not in text) or not _SUSPECT.search(text):
            return text, []
        plain = _COLOUR.sub("", text)
        reasons = ["terminal colours removed"] if plain != text else []
        gone: Counter[str] = Counter()
        flags = [range(*flag.span()) for flag in _FLAG.finditer(plain)]
        rightward = any(unicodedata.bidirectional(mark) in ("R", "AL") for mark in plain)

        def replaced(match: re.Match[str]) -> str:
            mark, place = match[0], match.start()
            if any(place in flag for flag in flags) or _is_needed(plain, place, rightward=rightward):
                return mark
            gone[_called(mark)] += 1
            if "\ud800" <= mark <= "\udfff":
                return "\ufffd"
            return " " if mark in SEPARATORS else ""

        after = _SUSPECT.sub(replaced, plain)
        return after, [*reasons, *(f"{count} × {name}" for name, count in gone.most_common(5))]


def _is_needed(text: str, place: int, *, rightward: bool) -> bool:
    """Whether the invisible character at `place` does something for its neighbours."""
    mark = text[place]
    if mark in DIRECTIONS:
        return rightward
    beside = text[place - 1 : place] + text[place + 1 : place + 2] if place else text[1:2]
    if mark in JOINERS:
        return any(map(_joins, beside))
    if mark == "\u200b":
        return any(low <= ord(other) <= high for other in beside for low, high in UNSPACED)
    return mark == "\u180e" and any(0x1800 <= ord(other) <= 0x18AF for other in beside)


def _joins(mark: str) -> bool:
    """A letter of a joining script, a mark upon one, or an emoji."""
    kind = unicodedata.category(mark)
    return kind in ("So", "Sk", "Mn", "Mc") or (kind[0] == "L" and ord(mark) >= FIRST_JOINING)


def _called(mark: str) -> str:
    name = unicodedata.name(mark, "").lower()
    if "\ud800" <= mark <= "\udfff":
        name = "half of a surrogate pair"
    return name or f"control character U+{ord(mark):04X}"
