"""Chat `messages`, as OpenAI's fine-tuning and most trainers read them: JSON lines of role and content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fewtune.data.base import Dataset, Message
from fewtune.data.formats.base import Format, Record, Seen, prompt_and_completion, turns_of
from fewtune.data.readers.base import Table, table_of_records
from fewtune.errors import UnreadableFile

SHAPE = 'A turn is {"role": "user", "content": "…"}.'


class Chat(Format):
    """Conversations under `messages`."""

    name = "chat"
    title = "chat messages"
    suffix = ".jsonl"
    task = "generation"
    key = "messages"
    keys, parts = ("messages",), ("role", "content")
    role, content = "role", "content"

    def knows(self, record: Record) -> bool:
        """`messages` is a list of objects with role and content."""
        turns = record.get(self.key)
        return isinstance(turns, list) and len(turns) > 0 and all(self._is_turn(turn) for turn in turns)

    def _is_turn(self, turn: object) -> bool:
        return isinstance(turn, dict) and self.role in turn and self.content in turn

    def read(self, records: Sequence[Record], table: Table, *, label: str | None) -> Seen:
        """Each conversation whole; its last answer is the completion."""
        said = [self.turns(record, row, table.source) for record, row in zip(records, table.rows, strict=True)]
        cells = [
            {
                "prompt": (found := prompt_and_completion(turns))[0],
                "completion": found[1],
                **{name: value for name, value in record.items() if name not in (self.key, "prompt", "completion")},
            }
            for record, turns in zip(records, said, strict=True)
        ]
        told = f"Format: {self.title}; the last answer of each conversation is what is to be written."
        notes = (*table.notes, told, *self._passed_over(records))
        found_table = table_of_records(cells, table.source, rows=table.rows, notes=notes)
        return Seen(
            found_table,
            self.task,
            text="prompt",
            id="id" if "id" in found_table.columns else None,
            conversations=tuple(tuple(turns) for turns in said),
            completion="completion",
        )

    def _passed_over(self, records: Sequence[Record]) -> Iterator[str]:
        """What of the turns is no text, and so is read by nothing."""
        turns = [turn for record in records for turn in record[self.key]]
        calls = sum(bool(turn.get("tool_calls") or turn.get("function_call")) for turn in turns)
        parts = sum(
            any(not (isinstance(part, Mapping) and "text" in part) for part in turn[self.content])
            for turn in turns
            if isinstance(turn[self.content], list)
        )
        if calls:
            call = "turn calls" if calls == 1 else "turns call"
            yield f"{calls} {call} tools: the calls are not read, only what is said."
        if parts:
            have = "turn has" if parts == 1 else "turns have"
            yield f"{parts} {have} parts that are no text, such as images: not read."

    def turns(self, record: Record, row: int, source: str) -> list[Message]:
        """The turns of a record."""
        turns = record.get(self.key)
        if not isinstance(turns, list) or not all(self._is_turn(turn) for turn in turns):
            raise UnreadableFile(f"{self.key!r} holds no turns.", file=source, row=row, remedy=SHAPE)
        return [Message(_role(turn[self.role]), self._said(turn, row, source)) for turn in turns]

    def _said(self, turn: Mapping[str, Any], row: int, source: str) -> str:
        """Raises UnreadableFile for what is neither a text nor parts of which some are."""
        if isinstance(turn[self.content], Mapping):
            raise UnreadableFile(f"A turn's {self.content!r} is an object.", file=source, row=row, remedy=SHAPE)
        return content_of(turn[self.content])

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """Conversations, and no other key: OpenAI's checker refuses keys it does not know."""
        for example in dataset:
            yield {self.key: [{"role": turn.role, "content": turn.content} for turn in turns_of(example)]}


def _role(value: Any) -> str:
    """As trainers call it, whatever its case."""
    role = str(value)
    return role.strip().lower() if role.strip().lower() in ("system", "user", "assistant", "tool") else role


def content_of(value: Any) -> str:
    """Text; of a list of parts, the parts that are text."""
    if isinstance(value, list):
        return "\n".join(str(part.get("text", "")) for part in value if isinstance(part, Mapping) and "text" in part)
    return "" if value is None else str(value)
