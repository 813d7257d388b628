"""`fewtune prepare --review`: one proposal after the other, answered with a letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fewtune.data.clean.log import Change, Decision
    from fewtune.preparing.decisions import Decisions

KEYS = "[y]es  [n]o  yes to [a]ll of this kind  no to the [r]est of this kind  [q]uit, leave the rest as it is"


class Reviewer:
    """Asks on standard error, reads answers from standard input; an end of input is `q`."""

    def __init__(self, decisions: Decisions) -> None:
        self.decisions = decisions
        self.asked = 0
        self.stopped = False
        self._all: dict[str, bool] = {}

    def __call__(self, change: Change, left: int) -> Decision:
        """Ask about one proposal, `left` of its kind to go."""
        if self.stopped:
            return "open"
        accepted = self._all.get(change.cleaner)
        if accepted is None:
            accepted = self._ask(change, left)
        if accepted is None:
            self.stopped = True
            return "open"
        self.decisions.add(change, accepted=accepted)
        return "applied" if accepted else "rejected"

    def _ask(self, change: Change, left: int) -> bool | None:
        if self.asked == 0:
            typer.echo(KEYS, err=True)
        self.asked += 1
        typer.echo("\n" + described(change, left), err=True)
        while True:
            answer = self._answer()
            if answer in ("y", "n"):
                return answer == "y"
            if answer in ("a", "r"):
                self._all[change.cleaner] = answer == "a"
                return answer == "a"
            if answer in ("q", ""):
                return None
            typer.echo(KEYS, err=True)

    def _answer(self) -> str:
        typer.echo("y/n/a/r/q? ", err=True, nl=False)
        try:
            return (input().strip().lower() or "?")[:1]
        except EOFError:
            typer.echo("", err=True)
            return ""


def described(change: Change, left: int) -> str:
    """A proposal in four lines."""
    from fewtune.cli.differences import differing, visible

    of = f"row {change.row}" + (f" ({change.id})" if change.id != str(change.row) else "")
    head = f"{change.cleaner}, {of}, {left} of this kind to go: {change.reason}"
    if change.column is None:
        texts = [str(cell) for cell in change.before.values() if cell is not None]
        return f"{head}\n  drop  {visible(' | '.join(texts))[:300]}"
    before, after = differing(change.before, change.after or "")
    column = "" if change.column == "text" else f" in column {change.column!r}"
    return f"{head}{column}\n  - {before}\n  + {after}"
