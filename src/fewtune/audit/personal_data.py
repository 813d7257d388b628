"""Personal data that stand in the texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from fewtune.audit.base import Check, Finding, Ground, named
from fewtune.audit.wording import rows_said
from fewtune.data.clean.personal import KINDS, described, find


class PersonalDataCheck(Check):
    """Whether e-mail addresses, telephone numbers, payment cards, bank accounts or network addresses stand in texts."""

    name: ClassVar[str] = "personal_data"
    title: ClassVar[str] = "Personal data"

    def run(self, ground: Ground) -> Iterator[Finding]:
        """One finding with every row; money matters make it a warning."""
        rows = []
        kinds: Counter[str] = Counter()
        for part, data in ground.parts:
            for example in data:
                ground.tick()
                if found := find(example.text):
                    kinds.update(item.kind for item in found)
                    rows.append(named(part, example, note=", ".join(described(found)), score=float(len(found))))
        if not rows:
            return
        yield Finding(
            self.name,
            "warning" if kinds["card"] or kinds["iban"] else "note",
            f"{rows_said(ground, rows)} {'hold' if len(rows) > 1 else 'holds'} personal data.",
            "Reports, predictions and logs repeat the texts, so whoever gets them gets these too; and a number that "
            "one customer writes often can stand for a class. Names and postal addresses are not looked for.",
            "`fewtune prepare FILE --mask all` puts [EMAIL], [PHONE], [CARD], [IBAN] and [IP] in their place.",
            tuple(sorted(rows, key=lambda row: -(row.score or 0))),
            {kind: kinds[kind] for kind in KINDS if kinds[kind]},
        )
