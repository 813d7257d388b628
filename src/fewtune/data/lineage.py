"""Where examples come from: columns `origin` and `parent`, as fewtune itself writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast, get_args

from fewtune.data.base import Example, Origin
from fewtune.plural import counted

ORIGINS = frozenset(get_args(Origin))


def with_origins(examples: Sequence[Example]) -> tuple[list[Example], list[str]]:
    """Examples with the origin their columns name, and a note; as they are where no column `origin` names origins."""
    given = [example.fields.get("origin") for example in examples]
    if not any(given) or not {cell for cell in given if cell} <= ORIGINS:
        return list(examples), []
    made = []
    for example, origin in zip(examples, given, strict=True):
        others = {name: cell for name, cell in example.fields.items() if name not in ("origin", "parent")}
        made.append(
            replace(
                example,
                origin=cast(Origin, origin or "given"),
                parent=example.fields.get("parent"),
                fields=others,
            )
        )
    count = sum(example.origin != "given" for example in made)
    return made, [f"Origin column: 'origin'; {counted(count, 'row was', 'rows were')} made from others."]
