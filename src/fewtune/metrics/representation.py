"""What a text was asked to say, as slots and values, read from a meaning representation.

Two families are known:

- dialogue acts, `inform(name='red door cafe';food=thai)`, one or several, with `;`, `,` or `|` between slots (RNNLG,
  SGD, MultiWOZ-like); values bare or in quotes; a slot without a value (`?request(food)`) is asked for, not told;
- bracketed attributes, `name[The Punter], food[Italian]` (E2E).

Whatever the form, a user may give slots as a column of their own instead: a JSON object from slot to value or to a
list of wordings, any of which counts; a list of values; or a text in one of the forms above.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fewtune.errors import DataError

ACT = re.compile(r"(?P<act>\??[\w-]+(?: [\w-]+)*)\s*\((?P<inside>.*?)\)(?=\s*(?:$|[&,;|+]|\??[\w-]+\s*\())", re.DOTALL)
ATTRIBUTE = re.compile(r"(?P<slot>[\w -]+?)\s*\[(?P<value>[^\]]*)\]")
# A separator counts outside quotes only. A quote opens right after `=` and closes right before a separator or the end,
# so that joe's bar needs no quoting.
QUOTED = r"""'.*?'(?=\s*(?:[;,|]|$))|".*?"(?=\s*(?:[;,|]|$))"""
PIECE = re.compile(rf"\s*(?P<slot>[^=;|]+?)\s*(?:=\s*(?P<value>{QUOTED}|[^;|]*))?\s*(?:[;|]|$)")
COMMAS = re.compile(r",(?=\s*[\w-]+\s*=)")


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing to say."""

    name: str
    wordings: tuple[str, ...]
    """Ways to say it, any of which counts; none where the slot is only asked for."""


def parse(text: str) -> tuple[Slot, ...] | None:
    """The slots of a meaning representation; None where the text is in neither form.

    Examples
    --------
    >>> parse("inform(name='red door cafe';food=thai)")
    (Slot(name='name', wordings=('red door cafe',)), Slot(name='food', wordings=('thai',)))
    >>> parse("how do I get to the airport") is None
    True
    """
    text = text.strip()
    acts = list(ACT.finditer(text))
    if acts and not _left_over(text, acts):
        return tuple(slot for act in acts for slot in _pieces(act["inside"]))
    attributes = list(ATTRIBUTE.finditer(text))
    if attributes and not _left_over(text, attributes):
        return tuple(Slot(found["slot"].strip(), _values(found["value"])) for found in attributes)
    return None


def _left_over(text: str, found: Sequence[re.Match[str]]) -> bool:
    """Whether more than separators stands outside what was found: prose with a bracket in it is no representation."""
    for match in reversed(found):
        text = text[: match.start()] + text[match.end() :]
    return bool(text.strip(" \t\n,;|&+"))


def _pieces(inside: str) -> list[Slot]:
    if ";" not in inside and "|" not in inside:
        inside = COMMAS.sub(";", inside)
    return [
        Slot(found["slot"].strip(), _values(found["value"] or ""))
        for found in PIECE.finditer(inside)
        if found["slot"].strip()
    ]


def _values(raw: str) -> tuple[str, ...]:
    """A value without its quotes, also where only one of a pair is left."""
    value = raw.strip()
    value = value[1:] if value.startswith(("'", '"')) else value
    value = value[:-1] if value.endswith(("'", '"')) else value
    return (value.strip(),) if value.strip() else ()


def slots_of(given: object, *, row: int | None = None) -> tuple[Slot, ...]:
    """Slots from a cell of a user's column.

    Parameters
    ----------
    given : a mapping from slot to a value or a list of wordings, a list of values, a text (JSON of either, or a meaning
        representation), or None for no slots.
    row : 1-based, for messages.

    Raises
    ------
    DataError
        Where it is none of these.
    """
    if given is None or given == "":
        return ()
    if isinstance(given, str):
        return _from_text(given, row)
    if isinstance(given, Mapping):
        return tuple(Slot(str(name), _wordings(value, row)) for name, value in given.items())
    if isinstance(given, Sequence):
        return tuple(Slot(f"{place + 1}", _wordings(value, row)) for place, value in enumerate(given))
    raise _cannot(given, row)


def _from_text(given: str, row: int | None) -> tuple[Slot, ...]:
    if given.lstrip()[:1] in "{[" and given.strip():
        try:
            found = json.loads(given)
        except json.JSONDecodeError:
            raise _cannot(given, row) from None
        return slots_of(found, row=row)
    parsed = parse(given)
    if parsed is None and "=" in given:
        # The inside of an act, on its own: `name=thai house; food=thai`.
        parsed = tuple(_pieces(given))
    if parsed is None:
        raise _cannot(given, row)
    return parsed


def _wordings(value: object, row: int | None) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, bool):
        return ("yes" if value else "no",)
    if isinstance(value, str | int | float):
        return (str(value),) if str(value).strip() else ()
    if isinstance(value, Sequence) and all(isinstance(one, str | int | float) for one in value):
        return tuple(str(one) for one in value if str(one).strip())
    raise _cannot(value, row)


def _cannot(given: object, row: int | None) -> DataError:
    shown = str(given) if len(str(given)) <= 60 else f"{str(given)[:57]}..."
    return DataError(
        f"{shown!r} cannot be read as slots.",
        row=row,
        remedy='Write {"slot": "value"}, {"slot": ["one wording", "another"]}, or slot=value;slot=value.',
    )


__all__ = ["Slot", "parse", "slots_of"]
