"""Telephone numbers in running text, told from order numbers, dates and amounts.

With a `+` and a country code the number itself proves what it is (phonenumbers, of Google's library). Without, it is
taken for one only if it is written as its country writes it and has a sign beside it: separators in the right places
and a telephone word before it, or an area code in brackets, or the 3-3-4 shape of North America.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "IN", "AU", "BR")
"""Whose national ways of writing are known here; every country's are with a `+`."""
LEAST_DIGITS = 7
_CANDIDATE = re.compile(r"(?<![\w.,/#-])(?:\+|\()?\(?\d[\d ().\-/\u2010-\u2015\xa0]{5,24}\d(?![\w%€$£]|[.,:/-]\d)")
_INTERNATIONAL = re.compile(r"(?<![\w+])(?:\+|00)[1-9]")
_NORTH_AMERICA = re.compile(r"(?:\+?1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[-.\u2010 ])[2-9]\d\d[-.\u2010 ]\d{4}")
_BRACKETS = re.compile(r"\(0?\d{2,5}\) ?\d[\d \-/]{4,12}\d")
_WORD = re.compile(
    r"(?:\b(?:phone|tele?phone|tel|mobile|cell|call(?:ed|ing)?|ring|rang|dial|fax|whats ?app|sms|text|reach|contact|"
    r"hotline|helpline|landline|ph|mob|"
    r"telefon\w*|tel[eé]fono|t[eé]l[eé]phone|t[eé]l|handy|mobil|m[oó]vil|celular|cellulare|portable|anruf\w*|rufen?|"
    r"appel\w*|llama\w*|chiama\w*|number|nummer|num[eé]ro|numero)\b)[^\d\n]{0,24}$",
    re.IGNORECASE,
)
_NOT_A_PHONE = re.compile(
    r"\b(?:order|invoice|ticket|case|ref(?:erence)?|account|serial|tracking|parcel|model|booking|bestell\w*|rechnung\w*|"
    r"auftrag\w*|commande|facture|pedido|factura|ordine|fattura|id|isbn|version)\b[^\d\n]{0,20}$",
    re.IGNORECASE,
)


def find_phones(text: str) -> Iterator[tuple[int, int]]:
    """Where telephone numbers stand."""
    if sum(mark.isdigit() for mark in text) < LEAST_DIGITS:
        return
    for candidate in _CANDIDATE.finditer(text):
        raw = candidate[0].rstrip(" .-/(")
        start, end = candidate.start(), candidate.start() + len(raw)
        if raw.startswith("(") and ")" not in raw:
            start, raw = start + 1, raw[1:]
        before = text[max(0, start - 40) : start]
        if _is_phone(raw, before):
            yield start, end


def _is_phone(raw: str, before: str) -> bool:
    digits = sum(mark.isdigit() for mark in raw)
    if not LEAST_DIGITS <= digits <= 15:
        return False
    if _INTERNATIONAL.match(raw) and _valid(raw if raw.startswith("+") else "+" + raw[2:], None):
        return True
    told = _WORD.search(before) is not None
    if _NOT_A_PHONE.search(before) and not told:
        return False
    if _NORTH_AMERICA.fullmatch(raw):
        return True
    if not told and not _BRACKETS.fullmatch(raw):
        return False
    return any(_valid(raw, region) for region in REGIONS)


def _valid(raw: str, region: str | None) -> bool:
    library = _library()
    try:
        number = library.parse(raw, region)
    except library.NumberParseException:
        return False
    return bool(library.is_valid_number(number))


@cache
def _library() -> Any:
    import phonenumbers

    return phonenumbers
