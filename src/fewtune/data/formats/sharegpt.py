"""ShareGPT: `conversations` of `from` and `value`, where people are `human` and models `gpt`."""

from __future__ import annotations

from collections.abc import Iterator

from fewtune.data.base import Dataset, Message
from fewtune.data.formats.base import ASSISTANT, Record, turns_of
from fewtune.data.formats.chat import Chat
from fewtune.errors import UnreadableFile

THEIRS = {"user": "human", ASSISTANT: "gpt"}
OURS = {"human": "user", "gpt": ASSISTANT, "chatgpt": ASSISTANT, "bard": ASSISTANT, "bing": ASSISTANT}


class ShareGPT(Chat):
    """Conversations under `conversations`."""

    name = "sharegpt"
    title = "ShareGPT conversations"
    suffix = ".json"
    key = "conversations"
    keys, parts = ("conversations",), ("from", "value")
    role, content = "from", "value"

    def turns(self, record: Record, row: int, source: str) -> list[Message]:
        """The turns, by our names; a `system` beside them comes first."""
        turns = [Message(OURS.get(turn.role, turn.role), turn.content) for turn in super().turns(record, row, source)]
        asked = record.get("system")
        return [Message("system", asked), *turns] if isinstance(asked, str) and asked else turns

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """Ids and conversations. Raises UnreadableFile for a role that would come back as another."""
        for place, example in enumerate(dataset, start=1):
            turns = turns_of(example)
            odd = next((turn.role for turn in turns if turn.role in OURS), None)
            if odd is not None:
                what = f"The role {odd!r} means another in ShareGPT."
                raise UnreadableFile(what, file=dataset.source, row=example.row, remedy="Write it as --to chat.")
            said = [{"from": THEIRS.get(turn.role, turn.role), "value": turn.content} for turn in turns]
            yield {"id": example.id or str(place), "conversations": said}
