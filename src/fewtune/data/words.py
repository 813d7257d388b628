"""The words people call their columns by, strongest first."""

from __future__ import annotations

import re
import unicodedata


def _words(line: str) -> frozenset[str]:
    return frozenset(line.split())


TEXT_TIERS: tuple[frozenset[str], ...] = (
    frozenset({"text"}),
    _words("""sentence message body content review utterance comment tweet post query question document abstract note
        notes transcript email ticket input passage paragraph statement narrative feedback complaint prompt texts
        sms msg verbatim texte texto testo tekst nachricht mensaje"""),
    _words("description summary title subject headline snippet excerpt answer response report instruction"),
)
LABEL_TIERS: tuple[frozenset[str], ...] = (
    frozenset({"label", "labels"}),
    _words("""class category intent target sentiment topic tag y classe klasse kategorie categorie categoria etiqueta
        etichetta polarity stance emotion annotation gold classification intention categories"""),
    _words("type kind rating stars score priority status department queue severity genre outcome code"),
)
ID_NAMES = frozenset({"id", "uid", "uuid", "guid", "example_id", "row_id", "text_id", "idx"})
GROUP_WORDS = _words("""group customer patient user author writer speaker thread conversation session client account
    document doc article dialogue dialog annotator_group family household""")
WEAK = 10
"""Added to the tier when only the last word of a column's name matches, as in `ticket_text`."""


def plain(name: str) -> str:
    """A column name in lower case without accents, its words joined by `_`: `TicketText` → `ticket_text`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    bare = "".join(mark for mark in unicodedata.normalize("NFKD", spaced) if not unicodedata.combining(mark))
    return "_".join(re.findall(r"[^\W_]+", bare.lower()))


def tier(name: str, tiers: tuple[frozenset[str], ...]) -> int | None:
    """How well `name` fits: the tier's place, plus `WEAK` if only its last word fits; None if not at all."""
    whole = plain(name)
    for place, words in enumerate(tiers):
        if whole in words:
            return place
    last = whole.rpartition("_")[2]
    return next((place + WEAK for place, words in enumerate(tiers) if last in words), None)


def looks_like_a_name(cell: str) -> bool:
    """Whether a cell of a first row is a column name people use."""
    if len(cell) > 40 or len(cell.split()) > 3:
        return False
    known = tier(cell, TEXT_TIERS) is not None or tier(cell, LABEL_TIERS) is not None
    return known or plain(cell) in ID_NAMES or plain(cell) in GROUP_WORDS
