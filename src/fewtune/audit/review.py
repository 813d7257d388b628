"""Suspect labels put to a person one by one: `ask` for the next, `tell` what was decided, `undo`.

Nothing is drawn here and no original is touched: a terminal, a web page or a notebook drives it. Every decision is in
the log before `tell` returns, so a review that was left goes on where it stood.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fewtune.audit.base import Ground
from fewtune.audit.duplicates import Conflict, conflicts
from fewtune.audit.label_errors import Suspect, suspects
from fewtune.audit.neighbours import Neighbour, agreeing
from fewtune.data.base import Dataset, Example
from fewtune.data.files import written_whole
from fewtune.errors import StoreError, UsageError

Action = Literal["keep", "take", "other", "skip"]
"""Keep the given label; take the suggested one; another label; decide later."""
LOG_FORMAT = 1


@dataclass(frozen=True)
class Question:
    """A row whose label is in doubt, and what there is to judge it by."""

    index: int
    """Place of the row in the dataset."""
    example: Example
    suggested: str | None
    """None where copies contradict each other and no label is better than another."""
    probability_given: float | None = None
    probability_suggested: float | None = None
    as_given: tuple[Neighbour, ...] = ()
    """The rows with the given label that are nearest to it."""
    as_suggested: tuple[Neighbour, ...] = ()
    """The rows with the suggested label that are nearest to it."""
    twins: tuple[int, ...] = ()
    """Rows that say the same under another label: places in the dataset."""
    number: int = 1
    """Which of the open questions this is, from 1."""
    of: int = 1
    """How many there are in all, decided or not."""


@dataclass(frozen=True)
class Decision:
    """What was decided for a row: a line of the log."""

    row: int
    id: str
    before: str | None
    after: str | None
    action: Action
    by: str
    """Whose decision it was."""
    when: str
    """UTC, ISO 8601."""
    why_asked: str
    suggested: str | None
    probability_given: float | None
    probability_suggested: float | None

    @property
    def changes(self) -> bool:
        """Whether the label is another one now."""
        return self.after != self.before


def somebody() -> str:
    """Who sits at this machine, as far as it knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


@dataclass
class Review:
    """One pass through the doubtful rows of a dataset.

    Parameters
    ----------
    dataset : the rows as given.
    questions : the doubtful ones, the worst first.
    log : where decisions are kept, JSON lines; None keeps them in memory only. A log of the same rows is gone on with.
    by : whose decisions these are.

    Raises
    ------
    StoreError : the log is of other rows, or cannot be read.
    """

    dataset: Dataset
    questions: Sequence[Question]
    log: Path | None = None
    by: str = field(default_factory=somebody)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        self._place = {question.index: place for place, question in enumerate(self.questions)}
        self._decisions: dict[int, Decision] = {}
        self.resumed = 0
        if self.log is not None and self.log.exists():
            self._resume(self.log)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All that was decided, in the order it was."""
        return tuple(self._decisions.values())

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class a row may have: those of the file, and those made on the way."""
        made = {decision.after for decision in self._decisions.values() if decision.after is not None}
        return tuple(sorted({*self.dataset.classes, *made}))

    @property
    def open(self) -> int:
        """Questions still to answer."""
        return sum(question.index not in self._decisions for question in self.questions)

    def ask(self) -> Question | None:
        """The worst row not yet decided; None when all are."""
        return next((question for question in self.questions if question.index not in self._decisions), None)

    def tell(
        self, question: Question, action: Action, label: str | None = None, *, new_class: bool = False
    ) -> Decision:
        """Decide on a row. `label` is for `other` alone; a class the file does not have must be meant (`new_class`).

        Raises
        ------
        UsageError : a suggestion is taken where there is none, or a label is empty or unknown.
        """
        decision = self._decided(question, action, self._label(question, action, label, new_class))
        self._decisions.pop(question.index, None)  # decided anew: it is the latest now
        self._decisions[question.index] = decision
        self._keep()
        return decision

    def undo(self) -> Question | None:
        """Take the latest decision back and give its question; None when there is none."""
        if not self._decisions:
            return None
        index, _ = self._decisions.popitem()
        self._keep()
        return self.questions[self._place[index]]

    def labels(self) -> dict[int, str]:
        """Row number → label, of the rows whose label is another one now."""
        return {d.row: d.after for d in self._decisions.values() if d.changes and d.after is not None}

    def _label(self, question: Question, action: Action, label: str | None, new_class: bool) -> str | None:
        if action in ("keep", "skip"):
            return question.example.label
        if action == "take":
            if question.suggested is None:
                raise UsageError("There is no suggestion for this row. Keep its label or type another.")
            return question.suggested
        label = (label or "").strip()
        if not label:
            raise UsageError("The label is empty. Type one of the classes.")
        if label not in self.classes and not new_class:
            raise UsageError(f"There is no class {label!r}. Type one of the classes, or say that it is a new one.")
        return label

    def _decided(self, question: Question, action: Action, after: str | None) -> Decision:
        example = question.example
        return Decision(
            row=example.row,
            id=example.id,
            before=example.label,
            after=after,
            action=action,
            by=self.by,
            when=self.now().isoformat(timespec="seconds"),
            why_asked="copies with other labels" if question.twins else "label not believed",
            suggested=question.suggested,
            probability_given=question.probability_given,
            probability_suggested=question.probability_suggested,
        )

    def _keep(self) -> None:
        if self.log is None:
            return
        head = {"format": LOG_FORMAT, "source": self.dataset.source, "fingerprint": self.dataset.fingerprint}
        lines = [head, *(asdict(decision) for decision in self.decisions)]
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.log) as file:
                file.writelines(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
        except OSError as error:
            raise StoreError(
                f"{self.log}: cannot be written ({error.strerror or error}). Give another --out."
            ) from error

    def _resume(self, log: Path) -> None:
        """Decisions of an earlier pass; what was skipped then is asked again."""
        try:
            head, *lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
            decisions = [Decision(**line) for line in lines]
            fingerprint = head["fingerprint"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(f"{log}: not a log of a review. Move it away, or give another --out.") from error
        if fingerprint != self.dataset.fingerprint:
            raise StoreError(
                f"{log}: its decisions are about other rows than {self.dataset.source} has now. Give another --out, or "
                "move the log away to begin anew."
            )
        index = {example.row: place for place, example in enumerate(self.dataset.examples)}
        for decision in decisions:
            place = index[decision.row]
            if decision.action != "skip" and place in self._place:
                self._decisions[place] = decision
        self.resumed = len(self._decisions)


def questions(ground: Ground, *, neighbours: int = 3) -> list[Question]:
    """What is to be asked about the training rows: contradicting copies first, then labels not believed."""
    examples = ground.train.examples
    torn = conflicts(ground.train.texts, [example.label for example in examples], ground.clusters)
    doubted = {suspect.index: suspect for suspect in (suspects(ground) if ground.has("predictions") else [])}
    order = list(dict.fromkeys([*(row for conflict in torn for row in conflict.rows), *doubted]))
    twins = {row: _others(conflict, row) for conflict in torn for row in conflict.rows}
    return [
        _question(ground, index, doubted.get(index), twins.get(index, ()), neighbours, number, len(order))
        for number, index in enumerate(order, 1)
    ]


def _others(conflict: Conflict, row: int) -> tuple[int, ...]:
    label = dict(zip(conflict.rows, conflict.labels, strict=True))
    return tuple(other for other in conflict.rows if label[other] != label[row])


def _question(
    ground: Ground, index: int, suspect: Suspect | None, twins: tuple[int, ...], most: int, number: int, of: int
) -> Question:
    example = ground.train.examples[index]
    suggested = suspect.suggested if suspect else ground.train.examples[twins[0]].label
    return Question(
        index,
        example,
        suggested,
        suspect.probability_given if suspect else None,
        suspect.probability_suggested if suspect else None,
        agreeing(ground, index, example.label, most),
        agreeing(ground, index, suggested, most),
        twins,
        number,
        of,
    )
