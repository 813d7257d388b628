"""The columns of preference rows, and what stands in each cell: texts, lists of messages, transcripts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fewtune.data.base import Example, Message
from fewtune.data.formats.base import ASSISTANT
from fewtune.data.formats.chat import Chat
from fewtune.data.formats.columns import UNWANTED, WANTED
from fewtune.data.readers.base import Table, is_nested, sound
from fewtune.data.words import ID_NAMES, plain
from fewtune.errors import ColumnError, DataError

PROMPTS = ("prompt", "instruction", "question", "query", "input")
COMPLETIONS = ("completion", "response", "answer", "output")
GROUPS = ("group", "group_id")
TRUE, FALSE = ("true", "1", "yes", WANTED), ("false", "0", "no", UNWANTED)
KNOWN = "Preferences have prompt, chosen and rejected, or prompt, completion and label (true or false)."
_SPACES = re.compile(r"\s+")
_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):[ \n]?")
"""Speakers of a transcript, as in Anthropic's sets."""
_SPEAKS = {"Human": "user", "Assistant": ASSISTANT}


@dataclass(frozen=True)
class Cells:
    """A table whose columns are known."""

    table: Table
    prompt: str | None
    first: str
    """Of the chosen answer, or of the single one."""
    second: str
    """Of the rejected answer, or of the label."""
    pairs: bool
    id: str | None
    group: str | None

    @classmethod
    def of(cls, table: Table) -> Cells:
        """The columns by their names. Raises ColumnError, with those that there are."""
        names = {plain(name): name for name in reversed(list(table.columns))}

        def first_of(known: Sequence[str]) -> str | None:
            return next((names[name] for name in known if name in names), None)

        prompt, chosen, rejected = first_of(PROMPTS), names.get("chosen"), names.get("rejected")
        about = {"id": first_of(sorted(ID_NAMES)), "group": first_of(GROUPS)}
        if chosen is not None and rejected is not None:
            return cls(table, prompt, chosen, rejected, True, **about)
        completion, label = first_of(COMPLETIONS), names.get("label")
        if chosen is None and rejected is None and completion is not None and label is not None:
            if prompt is None:
                raise _lacking(table, PROMPTS[0])
            return cls(table, prompt, completion, label, False, **about)
        if chosen is not None or rejected is not None:
            raise _lacking(table, "chosen" if chosen is None else "rejected")
        raise _lacking(table, "chosen" if completion is None else "label")

    def decides(self, place: int) -> bool:
        """False of a mark of the page that makes no pair: a tie, or one of two answers with nothing in it."""
        mark = self.table.columns.get("mark")
        if mark is None or "second" not in self.table.columns:
            return True
        return mark[place] != "tie" and bool(self._cell(self.first, place) and self._cell(self.second, place))

    def example(self, place: int) -> Example:
        """One row."""
        row = self.table.rows[place]
        found = self._pair(place, row) if self.pairs else self._single(place, row)
        name = self._cell(self.id, place) or str(row)
        return replace(found, id=name, group=self._cell(self.group, place), row=row)

    def _cell(self, column: str | None, place: int) -> str | None:
        cell = None if column is None else self.table.columns[column][place]
        return None if cell is None else cell.strip() or None

    def _single(self, place: int, row: int) -> Example:
        said = (self._cell(self.second, place) or "").lower()
        if said not in (*TRUE, *FALSE):
            what = f"The label is {said!r}." if said else "There is no label."
            remedy = "A label is true where the answer is wanted, false where it is not."
            raise DataError(what, file=self.table.source, row=row, remedy=remedy)
        before = self._said(self.prompt, place, row)
        answer = self._said(self.first, place, row)
        label = WANTED if said in TRUE else UNWANTED
        return replace(_exchange([*_asked(before), *_answered(answer)]), label=label)

    def _pair(self, place: int, row: int) -> Example:
        before = None if self.prompt is None else self._said(self.prompt, place, row)
        chosen, rejected = self._said(self.first, place, row), self._said(self.second, place, row)
        if isinstance(chosen, str) and isinstance(rejected, str):
            if before is None:
                return self._begun_alike(chosen, rejected, row)
            return replace(_exchange([*_asked(before), *_answered(chosen)]), rejected=rejected)
        return self._conversations(before, _answered(chosen), _answered(rejected), row)

    def _begun_alike(self, chosen: str, rejected: str, row: int) -> Example:
        """Two whole texts: transcripts of a conversation, or the same beginning gone on with in two ways."""
        spoken = _transcript(chosen), _transcript(rejected)
        if spoken[0] and spoken[1]:
            return self._conversations(None, *spoken, row)
        shared = _shared(chosen, rejected)
        if not shared.strip():
            raise _lacking(self.table, PROMPTS[0])
        return Example(shared.rstrip(), completion=chosen[len(shared) :], rejected=rejected[len(shared) :])

    def _conversations(
        self, before: str | list[Message] | None, chosen: list[Message], rejected: list[Message], row: int
    ) -> Example:
        """What both share is the prompt; one answer each is what is left."""
        alike = next(
            (n for n, pair in enumerate(zip(chosen, rejected, strict=False)) if pair[0] != pair[1]),
            min(len(chosen), len(rejected)),
        )
        if alike and alike == len(chosen) == len(rejected):
            alike -= 1  # the same to the end: said as two equal answers
        shared, left = chosen[:alike], (chosen[alike:], rejected[alike:])
        if not all(len(rest) == 1 and rest[0].role == ASSISTANT for rest in left):
            what = "The chosen and the rejected conversation differ in more than their last answer."
            remedy = "Let both be the same up to one answer of the assistant each."
            raise DataError(what, file=self.table.source, row=row, remedy=remedy)
        asked = [] if before is None else _asked(before)
        # Some sets have the prompt beside conversations that hold it already.
        said = shared if asked and shared[-len(asked) :] == asked else [*asked, *shared]
        if not any(turn.role == "user" for turn in said):
            raise _lacking(self.table, PROMPTS[0])
        return replace(_exchange([*said, *left[0]]), rejected=left[1][0].content)

    def _said(self, column: str | None, place: int, row: int) -> str | list[Message]:
        """A cell as text, or as the turns it holds."""
        assert column is not None
        value: Any = (self.table.values.get(column) or self.table.columns[column])[place]
        if not is_nested(value):
            return sound(self.table.columns[column][place] or "")
        turns = value.tolist() if hasattr(value, "tolist") else value
        turns = [turns] if isinstance(turns, Mapping) else list(turns)
        said = Chat().turns({"messages": turns}, row, self.table.source)
        return [Message(turn.role, sound(turn.content)) for turn in said]


def _lacking(table: Table, name: str) -> ColumnError:
    listing = ", ".join(map(repr, table.columns))
    return ColumnError(f"There is no column {name!r}.", file=table.source, remedy=f"{KNOWN} Columns: {listing}.")


def _asked(before: str | list[Message]) -> list[Message]:
    return [Message("user", before)] if isinstance(before, str) else before


def _answered(answer: str | list[Message]) -> list[Message]:
    return [Message(ASSISTANT, answer)] if isinstance(answer, str) else answer


def _exchange(said: Sequence[Message]) -> Example:
    """A conversation as an example; of a single question, no more than its text."""
    asked = said[-2].content if len(said) > 1 else ""
    whole = () if [turn.role for turn in said] == ["user", ASSISTANT] else tuple(said)
    return Example(asked, completion=said[-1].content, messages=whole)


def _transcript(text: str) -> list[Message]:
    """The turns of `Human: … Assistant: …`; none where it is no such text."""
    parts = _SPEAKER.split(text)
    if len(parts) < 3 or parts[0].strip():
        return []
    return [Message(_SPEAKS[who], said.strip()) for who, said in zip(parts[1::2], parts[2::2], strict=True)]


def _shared(chosen: str, rejected: str) -> str:
    """What both begin with, cut back to the end of a word."""
    differ = (n for n, pair in enumerate(zip(chosen, rejected, strict=False)) if pair[0] != pair[1])
    count = next(differ, min(len(chosen), len(rejected)))
    while count and not chosen[count - 1].isspace():
        count -= 1
    return chosen[:count]


def rejected_of(example: Example) -> Example:
    """The same prompt with the answer that was not chosen."""
    assert example.rejected is not None, "asked of a row that is no pair"
    said = (*example.messages[:-1], Message(ASSISTANT, example.rejected)) if example.messages else ()
    return replace(example, completion=example.rejected, messages=said)


def same_answer(text: str) -> str:
    """What two answers are compared by: spaces do not tell them apart."""
    return _SPACES.sub(" ", text).strip()


__all__ = ["UNWANTED", "WANTED", "Cells", "rejected_of", "same_answer"]
