"""Personal data in texts: e-mail addresses, telephone numbers, payment cards, bank accounts, network addresses.

Found by shape and proved where there is a proof: cards by the Luhn sum and the issuer's lengths, IBANs by their
checksum and the country's length (python-stdnum), telephone numbers by each country's plan. Names and postal addresses
are not found: no light tool does it well enough to be trusted.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from fewtune.data.clean.base import Cleaner
from fewtune.data.clean.phones import find_phones
from fewtune.plural import counted

Kind = Literal["email", "iban", "card", "ip", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The surest first: what one has taken the next leaves alone."""
CALLED: dict[Kind, str] = {
    "email": "e-mail address",
    "iban": "bank account",
    "card": "payment card",
    "ip": "network address",
    "phone": "telephone number",
}

_EMAIL = re.compile(r"(?<![\w.+-])\w[\w.+'-]{0,63}@(?:[\w-]{1,63}\.){1,6}[^\W\d_]{2,24}(?![\w@-])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_CARD = re.compile(r"(?<![\w.,#+-])\d(?:[ -]?\d){11,18}(?![\w]|[.,-]\d)")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_VERSION = re.compile(r"(?:\bv|version|firmware|build|release|update|software|driver|app|ios|android)\W{0,3}$", re.I)
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|(?:30[0-5]|36|38)\d{11,13}|"
    r"(?:6011|65|64[4-9])\d{12,13}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}|(?:50|5[6-8]|6[37])\d{10,17}"
)
"""Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay, Maestro: how cards begin, how long they are."""


@dataclass(frozen=True)
class Found:
    """Personal data at a place in a text."""

    kind: Kind
    start: int
    end: int


@dataclass
class PersonalData(Cleaner):
    """Masks personal data of the kinds asked for: `[EMAIL]`, `[IBAN]`, `[CARD]`, `[IP]`, `[PHONE]`."""

    name: ClassVar[str] = "personal_data"
    title: ClassVar[str] = "personal data"
    unasked: ClassVar[bool] = False

    kinds: tuple[Kind, ...] = KINDS

    def step(self, text: str) -> tuple[str, list[str]]:
        """A typed word stands for each."""
        found = [item for item in find(text) if item.kind in self.kinds]
        parts, here = [], 0
        for item in found:
            parts += [text[here : item.start], f"[{item.kind.upper()}]"]
            here = item.end
        return "".join([*parts, text[here:]]), [f"{said} masked" for said in described(found)]


def find(text: str) -> list[Found]:
    """Personal data in the order they stand; none overlap."""
    taken: list[Found] = []
    for kind in KINDS:
        for start, end in FINDERS[kind](text):
            if all(end <= other.start or other.end <= start for other in taken):
                taken.append(Found(kind, start, end))
    return sorted(taken, key=lambda item: item.start)


def described(found: list[Found]) -> list[str]:
    """`2 e-mail addresses`, `1 payment card`."""
    kinds = [item.kind for item in found]
    said = [(kinds.count(kind), CALLED[kind]) for kind in KINDS if kind in kinds]
    return [counted(count, name + "e" if count > 1 and name.endswith("s") else name) for count, name in said]


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    """The longest valid beginning of each candidate: words may follow without a sign that the number is over."""
    from stdnum import iban

    for match in _IBAN.finditer(text):
        raw = match[0]
        for end in range(len(raw), 14, -1):
            if raw[end - 1].isalnum() and raw[end : end + 1].strip(" -") == "" and iban.is_valid(raw[:end]):
                yield match.start(), match.start() + end
                break


def _cards(text: str) -> Iterator[tuple[int, int]]:
    from stdnum import luhn

    for match in _CARD.finditer(text):
        digits = re.sub("[ -]", "", match[0])
        if digits.isascii() and _ISSUERS.fullmatch(digits) and len(set(digits)) > 1 and luhn.is_valid(digits):
            yield match.span()


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """IPv4 but for version numbers and names of nobody (0.0.0.0, 127.0.0.1); IPv6 of three groups or more."""
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            raw = match[0]
            if _VERSION.search(text[max(0, match.start() - 16) : match.start()]) or sum(map(str.isalnum, raw)) < 4:
                continue
            if pattern is _IPV6 and sum(bool(group) for group in raw.split(":")) < 3:
                continue
            try:
                address = ipaddress.ip_address(raw)
            except ValueError:
                continue
            if not (address.is_loopback or address.is_unspecified):
                yield match.span()


FINDERS: dict[Kind, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _addresses,
    "phone": find_phones,
}
