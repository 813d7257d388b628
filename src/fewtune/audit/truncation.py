"""What of the texts the backbone never reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from fewtune.audit.base import Check, Finding, Ground, Need, Row, named
from fewtune.audit.wording import percent, rows_said, share_of

MANY = 0.05
"""Share of rows cut, or of tokens lost, from which it is a warning."""


class Truncation(Check):
    """How many texts are longer than the backbone reads, and how much of them is lost."""

    name: ClassVar[str] = "truncation"
    title: ClassVar[str] = "Texts that are cut"
    needs: ClassVar[frozenset[Need]] = frozenset({"tokens"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """One finding, the rows that lose most first."""
        assert ground.count_tokens is not None
        assert ground.most_tokens is not None
        limit = ground.most_tokens
        rows: list[Row] = []
        total = lost = 0
        for part, data in ground.parts:
            for example, count in zip(data, ground.count_tokens(data.texts) if len(data) else (), strict=True):
                total += int(count)
                if (over := int(count) - limit) > 0:
                    lost += over
                    note = f"{int(count):,} tokens, the last {over:,} not read"
                    rows.append(named(part, example, note=note, score=float(over)))
        if not rows:
            return
        rows.sort(key=lambda row: -(row.score or 0))
        yield Finding(
            self.name,
            "warning" if max(share_of(ground, rows), lost / total) >= MANY else "note",
            f"{rows_said(ground, rows)} {'are' if len(rows) > 1 else 'is'} cut at {limit:,} tokens: {lost:,} tokens "
            f"({percent(lost / total)} of all) are never read.",
            "What stands at the end of a long text says nothing to this backbone, in training and in use.",
            "Put what matters first, cut what repeats (`fewtune prepare FILE --only boilerplate`), or give a backbone "
            "that reads more with --backbone.",
            tuple(rows),
            {"rows": len(rows), "limit": limit, "tokens": total, "tokens_lost": lost},
        )
