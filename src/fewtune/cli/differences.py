"""Two texts side by side on a terminal: only where they differ, with what nobody sees made visible."""

from __future__ import annotations

import unicodedata

CONTEXT = 24
WIDEST = 160


def differing(before: str, after: str) -> tuple[str, str]:
    """The stretch in which two texts differ, with a little of what stands around it."""
    same = _shared(before, after)
    rest = min(len(before), len(after)) - same
    tail = min(rest, _shared(before[::-1], after[::-1]))
    start = max(0, same - CONTEXT)
    kept = max(0, tail - CONTEXT)
    return _cut(before, start, len(before) - kept), _cut(after, start, len(after) - kept)


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def visible(text: str) -> str:
    """Line ends, tabs, unusual spaces and invisible characters in signs of their own."""
    return "".join(map(_sign, text))


def _cut(text: str, start: int, end: int) -> str:
    piece = text[start:end]
    if end == len(text):
        bare = piece.rstrip(" ")
        piece = bare + "·" * (len(piece) - len(bare))
    middle = f"{piece[: WIDEST // 2]} … {piece[-WIDEST // 2 :]}" if len(piece) > WIDEST else piece
    return ("…" if start else "") + visible(middle) + ("…" if end < len(text) else "")


def _sign(mark: str) -> str:
    if mark == "\n":
        return "↵"
    if mark == "\t":
        return "⇥"
    if mark != " " and unicodedata.category(mark) in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp"):
        return f"⟨U+{ord(mark):04X}⟩"
    return mark
