"""What `fewtune prepare` would clean: the cleaners look, nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from fewtune.audit.base import Check, Finding, Ground, Row, Severity, named
from fewtune.audit.wording import rows_said
from fewtune.data.clean.base import Cleaner
from fewtune.data.clean.boilerplate import Boilerplate
from fewtune.data.clean.characters import Characters
from fewtune.data.clean.encoding import Encoding
from fewtune.data.clean.markup import Markup
from fewtune.data.clean.spaces import Spaces

LOOKED_FOR: tuple[tuple[type[Cleaner], Severity, str, str], ...] = (
    (
        Encoding,
        "warning",
        "hold letters that were read with the wrong encoding",
        "To a tokenizer `schÃ¶n` is not `schön` but pieces it has hardly seen: such words say nothing.",
    ),
    (
        Markup,
        "warning",
        "hold HTML",
        "Tags and entities take up the room of words, and a model may learn the tags instead of the words.",
    ),
    (
        Characters,
        "note",
        "hold control or invisible characters",
        "Nobody sees them, but they split words for a tokenizer, and hide that two texts are the same.",
    ),
    (
        Spaces,
        "note",
        "hold white space that says nothing",
        "Most tokenizers pass over it; it hides copies, and makes texts longer than they are.",
    ),
    (
        Boilerplate,
        "note",
        "begin or end with lines that many rows share",
        "Signatures and form text make different rows look alike; if only one class has them, they give it away.",
    ),
)
LOST = "\ufffd"


class DirtyText(Check):
    """Whether texts hold what no writer wrote: broken encodings, HTML, invisible characters, form text."""

    name: ClassVar[str] = "dirty_text"
    title: ClassVar[str] = "Dirt in the texts"

    def run(self, ground: Ground) -> Iterator[Finding]:
        """A finding for each kind of dirt there is; then letters that are lost for good."""
        for kind, severity, what, reason in LOOKED_FOR:
            if rows := list(_proposed(ground, kind)):
                chosen = "" if kind.unasked else f" --only {kind.name}"
                yield Finding(
                    self.name,
                    severity,
                    f"{rows_said(ground, rows)} {_verb(what, rows)}.",
                    reason,
                    f"`fewtune prepare FILE{chosen}` cleans them and keeps the way back; `--review` asks about each.",
                    tuple(rows),
                    {"cleaner": kind.name, "rows": len(rows)},
                )
        yield from self._lost(ground)

    def _lost(self, ground: Ground) -> Iterator[Finding]:
        rows = [
            named(part, example, note=f"{count} lost", score=float(count))
            for part, data in ground.parts
            for example in data
            if (count := example.text.count(LOST))
        ]
        if rows:
            rows.sort(key=lambda row: -(row.score or 0))
            yield Finding(
                self.name,
                "warning",
                f"{rows_said(ground, rows)} {_verb('hold letters that are lost', rows)}: � stands in their place.",
                "The file was once saved in an encoding that could not hold them; no tool can bring them back.",
                "Export the rows again from where they come from, as UTF-8.",
                tuple(rows),
                {"rows": len(rows)},
            )


def _proposed(ground: Ground, kind: type[Cleaner]) -> Iterator[Row]:
    """Rows the cleaner would change, in file order; what repeats is looked for in each part by itself."""
    for part, data in ground.parts:
        cleaner = kind()
        cleaner.fit(data.texts)
        for example in data:
            ground.tick()
            if (proposal := cleaner.propose(example.text)) is not None:
                yield named(part, example, note=proposal.reason)


def _verb(what: str, rows: list[Row]) -> str:
    """`hold` as `holds` for one row."""
    first, _, rest = what.partition(" ")
    return what if len(rows) > 1 else f"{first}s {rest.replace(' or end ', ' or ends ')}"
