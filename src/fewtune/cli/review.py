"""The walk of `fewtune check --review`: a doubtful label on the screen, a key to decide, at the end a corrected copy.

What is asked and what an answer does is `fewtune.audit.review`; here it is drawn and typed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fewtune.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from fewtune.audit.base import Ground
    from fewtune.audit.neighbours import Neighbour
    from fewtune.audit.review import Question, Review

LOG = "review.jsonl"
LONGEST = 1200
"""Characters of a text shown; the rest is in the file."""
LONGEST_NEIGHBOUR = 160
KEYS = "[k]eep  [t]ake the suggestion  [o]ther label  [s]kip  [u]ndo  [q]uit"


def walk(
    ground: Ground,
    folder: Path,
    *,
    by: str | None = None,
    ask: Callable[[str], str] = input,
    console: Console | None = None,
) -> Path | None:
    """Walk through the doubtful labels of the training rows; says where the corrected copy is, None if none was made.

    Parameters
    ----------
    folder : gets the copy and `review.jsonl`, the log of decisions; a walk that was left goes on where it stood.
    by : whose decisions these are; the user of this machine when not given.
    ask : reads an answer; end of input means quit.
    """
    from rich.console import Console

    from fewtune.audit.review import Review, questions, somebody

    console = console or Console(highlight=False)
    if not ground.has("labels") or ground.train.label_column is None:
        raise UsageError("--review is about labels, and these rows have none.")
    review = Review(ground.train, questions(ground), folder / LOG, by or somebody())
    if not review.questions:
        console.print("No label is in doubt: nothing to review.")
        return None
    if review.resumed:
        console.print(f"{review.resumed} of {len(review.questions)} are decided already; on with the rest.")
    _Walk(review, console, ask).go()
    return _finish(review, folder, console)


class _Walk:
    """The loop: show, read a key, do it."""

    def __init__(self, review: Review, console: Console, ask: Callable[[str], str]) -> None:
        self.review, self.console, self._ask = review, console, ask

    def go(self) -> None:
        """Until every question is answered or the person has had enough."""
        shown: Question | None = None
        while (question := self.review.ask()) is not None:
            if question is not shown:
                show(question, self.review, self.console)
            shown = question
            key = self._read(f"{KEYS}: ")[:1].lower()
            if key == "q":
                return
            shown = None if self._do(key, question) else shown

    def _do(self, key: str, question: Question) -> bool:
        """Whether the next question may be shown."""
        if key == "k":
            self.review.tell(question, "keep")
        elif key == "s":
            self.review.tell(question, "skip")
        elif key == "t" and question.suggested is not None:
            self.review.tell(question, "take")
        elif key == "o":
            return self._other(question)
        elif key == "u":
            if self.review.undo() is None:
                self._say("There is nothing to undo.")
                return False
        else:
            self._say("Type one of k, t, o, s, u, q." if key != "t" else "There is no suggestion for this row.")
            return False
        return True

    def _other(self, question: Question) -> bool:
        """A typed label: one of the classes, or a new one that is confirmed."""
        self._say("Classes: " + ", ".join(self.review.classes[:40]) + (", …" if len(self.review.classes) > 40 else ""))
        typed = self._read("Label (empty: back): ").strip()
        if not typed or typed == "q":
            return False
        by_case = {name.casefold(): name for name in self.review.classes}
        label = typed if typed in self.review.classes else by_case.get(typed.casefold(), typed)
        new = label not in self.review.classes
        if new:
            near = difflib.get_close_matches(label, self.review.classes, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            if self._read(f"There is no class {label!r}.{hint} Make it a new class? [y/N]: ")[:1].lower() != "y":
                return False
        self.review.tell(question, "other", label, new_class=new)
        return True

    def _read(self, prompt: str) -> str:
        try:
            return self._ask(prompt).strip()
        except EOFError:
            return "q"

    def _say(self, sentence: str) -> None:
        self.console.print(sentence, markup=False)


def show(question: Question, review: Review, console: Console) -> None:
    """A question on the screen."""
    from rich.markup import escape

    example = question.example
    done = len(review.questions) - review.open
    name = f" · {example.id}" if example.id != str(example.row) else ""
    console.print()
    console.rule(f"{done + 1} of {len(review.questions)} · row {example.row}{escape(name)}", align="left")
    console.print(_clip(example.text, LONGEST), markup=False)
    console.print()
    console.print(f"  given      [bold]{escape(str(example.label))}[/]{_believed(question.probability_given)}")
    if question.suggested is not None:
        console.print(f"  suggested  [bold]{escape(question.suggested)}[/]{_believed(question.probability_suggested)}")
    for index in question.twins[:3]:
        twin = review.dataset.examples[index]
        console.print(f"  row {twin.row} says the same and is labelled {twin.label!r}", markup=False)
    for label, nearest in ((question.suggested, question.as_suggested), (example.label, question.as_given)):
        if nearest:
            console.print(f"  nearest labelled {label!r}:", markup=False)
            _neighbours(nearest, console)
    console.print()


def _neighbours(nearest: tuple[Neighbour, ...], console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    for near in nearest:
        text = _clip(" ".join(near.example.text.split()), LONGEST_NEIGHBOUR)
        table.add_row("   ", f"{near.similarity:.2f}", Text(f"row {near.example.row}", no_wrap=True), Text(text))
    console.print(table)


def _believed(share: float | None) -> str:
    return "" if share is None else f"  (believed {share:.0%})"


def _clip(text: str, most: int) -> str:
    kept = "".join(mark if mark.isprintable() or mark in "\n\t" else "\ufffd" for mark in text[:most])
    return kept + ("…" if len(text) > most else "")


def _finish(review: Review, folder: Path, console: Console) -> Path | None:
    """The corrected copy, and what was decided in numbers."""
    from fewtune.data.relabel import copy_suffix, write_relabelled

    count = {action: sum(d.action == action for d in review.decisions) for action in ("keep", "take", "other", "skip")}
    left = review.open + count["skip"]
    changed = review.labels()
    console.print(
        f"\n{len(changed)} changed, {sum(not d.changes and d.action != 'skip' for d in review.decisions)} kept, "
        f"{left} not decided. Log: {folder / LOG}",
        markup=False,
        soft_wrap=True,
    )
    if not changed:
        console.print("No label was changed: no copy is written.")
        return None
    source, column = review.dataset.source, review.dataset.label_column
    assert column is not None
    stem = Path(source.replace(":", "-")).stem or "rows"
    path = write_relabelled(source, column, changed, folder / f"{stem}.corrected{copy_suffix(source)}")
    console.print(f"Corrected copy: {path}\n{source} is as it was.", markup=False, soft_wrap=True)
    return path
