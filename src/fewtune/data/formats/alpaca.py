"""Alpaca: `instruction`, maybe `input`, and `output`; `system` and earlier turns (`history`) where a file has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fewtune.data.base import Dataset, Message
from fewtune.data.formats.base import ASSISTANT, Format, Record, Seen, is_text, turns_of
from fewtune.data.readers.base import Table, table_of_records


class Alpaca(Format):
    """Instructions and what is written for them."""

    name = "alpaca"
    title = "Alpaca instructions"
    suffix = ".json"
    task = "generation"
    strict = False
    keys = ("instruction", "output")

    def knows(self, record: Record) -> bool:
        """`instruction` and `output` are texts, the latter maybe a number."""
        said = isinstance(record.get("instruction"), str) and is_text(record.get("output"))
        return said and isinstance(record.get("input", ""), str)

    def read(self, records: Sequence[Record], table: Table, *, label: str | None) -> Seen:
        """Instruction and input are the prompt, one above the other."""
        cells: list[dict[str, Any]] = []
        said: list[tuple[Message, ...]] = []
        for record in records:
            prompt = "\n\n".join(part for part in (record["instruction"], record.get("input")) if part)
            known = ("instruction", "input", "output", "system", "history", "prompt", "completion")
            others = {name: value for name, value in record.items() if name not in known}
            cells.append({"prompt": prompt, "completion": record["output"], **others})
            cells[-1] |= {name: record[name] for name in ("instruction", "input") if record.get("input")}
            said.append(tuple(_turns(record, prompt)))
        notes = (*table.notes, f"Format: {self.title}.")
        found = table_of_records(cells, table.source, rows=table.rows, notes=notes)
        return Seen(
            found,
            self.task,
            text="prompt",
            id="id" if "id" in found.columns else None,
            conversations=tuple(said),
            completion="completion",
        )

    def write(self, dataset: Dataset) -> Iterator[Record]:
        """A system's message as `system`, earlier turns as `history`, where there are any."""
        for example in dataset:
            turns = turns_of(example)
            system = [turn.content for turn in turns if turn.role == "system"]
            rest = [turn for turn in turns if turn.role != "system"]
            answered = bool(rest) and rest[-1].role == ASSISTANT
            output = rest[-1].content if answered else ""
            before = rest[:-1] if answered else rest
            instruction, given = _parts(before[-1].content if before else "", example.fields)
            record: dict[str, Any] = {"instruction": instruction, "input": given, "output": output}
            if system:
                record["system"] = "\n\n".join(system)
            if len(before) > 1:
                record["history"] = [
                    [a.content, b.content] for a, b in zip(before[0:-1:2], before[1:-1:2], strict=False)
                ]
            yield record


def _turns(record: Record, prompt: str) -> Iterator[Message]:
    """The whole conversation; nothing where it is a prompt and its completion only."""
    asked, history = record.get("system"), record.get("history")
    if not asked and not history:
        return
    if isinstance(asked, str) and asked:
        yield Message("system", asked)
    for pair in history if isinstance(history, list) else []:
        if isinstance(pair, list) and len(pair) == 2:
            yield Message("user", str(pair[0]))
            yield Message(ASSISTANT, str(pair[1]))
    yield Message("user", prompt)
    yield Message(ASSISTANT, str(record["output"]))


def _parts(prompt: str, fields: Any) -> tuple[str, str]:
    """Instruction and input as they were read, where the prompt is still made of them."""
    instruction, given = fields.get("instruction"), fields.get("input")
    if instruction and given and prompt == f"{instruction}\n\n{given}":
        return instruction, given
    return prompt, ""
