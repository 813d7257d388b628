"""One spelling for texts that differ in case, punctuation and spaces only."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


def normalise(text: str) -> str:
    """NFKC, case folded, punctuation as spaces, apostrophes dropped; if nothing is left, the text case folded."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = " ".join(folded.translate(_punctuation()).split())
    return bare or " ".join(folded.split())


@lru_cache(maxsize=1)
def _punctuation() -> dict[int, str]:
    """Symbols such as emoji, $ and + carry meaning and stay."""
    marks = {code: " " for code in range(0x20000) if unicodedata.category(chr(code)).startswith("P")}
    return {**marks, ord("'"): "", ord("’"): ""}
