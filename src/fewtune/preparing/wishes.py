"""What is asked of a preparation: which cleaners, what to mask, which rows to drop."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fewtune.data.clean.base import Cleaner
from fewtune.data.clean.personal import KINDS, Kind, PersonalData
from fewtune.data.clean.registry import CLEANERS
from fewtune.errors import UsageError

DROPS = ("duplicates", "empty")
"""`duplicates`: copies and near copies of an earlier row with the same label; `empty`: rows with nothing to read."""
ALL = "all"
Name = TypeVar("Name", bound=str)


@dataclass(frozen=True)
class Wishes:
    """Resolved settings."""

    cleaners: tuple[Cleaner, ...]
    """Those that look, in order."""
    taken: frozenset[str]
    """Names of those whose proposals are taken without a review."""
    mask: tuple[Kind, ...]
    drop: tuple[str, ...]


def wishes(only: Iterable[str] | None, mask: Iterable[str], drop: Iterable[str]) -> Wishes:
    """Names → settings. Raises UsageError for a name nobody has."""
    names = [kind.name for kind in CLEANERS if kind is not PersonalData]
    chosen = None if only is None else _known("--only", only, names)
    kinds = _known("--mask", mask, KINDS)
    drops = _known("--drop", drop, DROPS)
    looking = [kind() for kind in CLEANERS if kind.name in (names if chosen is None else chosen)]
    taken = {cleaner.name for cleaner in looking if cleaner.unasked or chosen is not None}
    if kinds:
        looking.append(PersonalData(kinds=tuple(kind for kind in KINDS if kind in kinds)))
        taken.add(PersonalData.name)
    return Wishes(
        tuple(looking),
        frozenset(taken),
        tuple(kind for kind in KINDS if kind in kinds),
        tuple(name for name in DROPS if name in drops),
    )


def _known(option: str, given: Iterable[str], known: Sequence[Name]) -> set[Name]:
    names = [given] if isinstance(given, str) else list(given)
    asked = [name.strip().lower().replace("-", "_") for name in names]
    if asked == [ALL]:
        return set(known)
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UsageError(f"{option} {name!r} is unknown.{hint} Known: {', '.join(known)}, or all.")
    return {name for name in known if name in asked}
