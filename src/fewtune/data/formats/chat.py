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
        notes = (*table.notes, f"Format: {self.title}; the last answer of each conversation is what is to be written.")
        found_table = table_of_records(cells, table.source, rows=table.rows, notes=notes)
        return Seen(
            found_table,
            self.task,
            text="prompt",
            id="id" if "id" in found_table.columns else None,
            conversations=tuple(tuple(turns) for turns in said),
            completion="completion",
        )

    def turns(self, record: Record, row: int, source: str) -> list[Message]:
        """The turns of a record."""
        turns = record.get(self.key)
        if not isinstance(turns, list) or not all(self._is_turn(turn) for turn in turns):
            raise UnreadableFile(f"{self.key!r} holds no turns.", file=source, row=row, remedy=SHAPE)
        return [Message(str(turn[self.role]), content_of(turn[self.content])) for turn in turns]

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """Conversations, and no other key: OpenAI's checker refuses keys it does not know."""
        for example in dataset:
            yield {self.key: [{"role": turn.role, "content": turn.content} for turn in turns_of(example)]}


def content_of(value: Any) -> str:
    """Text; of a list of parts, the parts that are text."""
    if isinstance(value, list):
        return "\n".join(str(part.get("text", "")) for part in value if isinstance(part, Mapping) and "text" in part)
    return "" if value is None else str(value)
