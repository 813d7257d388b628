"""Whether rows make a task of writing: prompts with something to be written after each, or plain texts.

What is wrong with a single row is said with its file and number, before any model is opened.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from fewtune.data.base import Dataset, Example, Message, Task
from fewtune.data.readers.base import Table
from fewtune.data.splits import merge_groups
from fewtune.data.words import ID_NAMES, plain
from fewtune.errors import DataError, TaskError
from fewtune.plural import counted

ROLES = ("system", "user", "assistant")
OTHERS = ("tool", "function", "developer")
"""Roles that some conversations have beside them; they may stand anywhere but last."""
LEAST_ROWS = 4
_SPACES = re.compile(r"\s+")


def task_of(table: Table, *, label: str | None) -> Task | None:
    """Language modelling for a table of plain texts alone; None where the columns say nothing."""
    columns = [name for name in table.columns if plain(name) not in ID_NAMES]
    return "language_modelling" if label is None and columns == ["text"] else None


def check_exchanges(dataset: Dataset) -> list[str]:
    """Notes about the rows.

    Raises
    ------
    DataError
        An empty completion, a role that nobody knows or that does not alternate, with file and row.
    TaskError
        Too few rows to judge anything, or rows that are all alike.
    """
    if len(dataset) < LEAST_ROWS:
        what = f"{len(dataset)} rows are too few to judge anything."
        remedy = f"Give {LEAST_ROWS} rows or more; from 20 on a result says something."
        raise TaskError(what, file=dataset.source, remedy=remedy)
    if dataset.task == "language_modelling":
        return [
            "Task: language modelling. The texts have no labels: they themselves are what a model is tuned to write."
        ]
    check_rows(dataset)
    completions = {example.completion for example in dataset}
    if len(completions) == 1:
        what = f"All {len(dataset)} completions are the same."
        raise TaskError(what, file=dataset.source, remedy="Check the column of completions (--label COLUMN).")
    return _notes(dataset, len(completions))


def check_rows(dataset: Dataset) -> None:
    """Raises DataError for an empty completion or a conversation out of turn, with file and row."""
    if dataset.task == "language_modelling":
        return
    for example in dataset:
        _check_conversation(example, dataset.source)
        if example.completion is None or not example.completion.strip():
            what = "The completion is empty: there is nothing to learn to write."
            remedy = "Fill it, or take the row out."
            raise DataError(what, file=dataset.source, row=example.row or None, remedy=remedy)


def _notes(dataset: Dataset, different: int) -> list[str]:
    notes = ["Task: generation. A model is tuned to write the completion of each prompt."]
    if different <= max(2, len(dataset) // 10):
        notes.append(
            f"There are only {different} different completions: that looks like classes, which `--task classification` "
            "tells apart with far less."
        )
    repeated = len(dataset) - len(set(map(prompt_key, dataset)))
    if repeated:
        notes.append(
            f"{counted(repeated, 'row has', 'rows have')} the prompt of another; rows of one prompt stay "
            "together in every split."
        )
    return notes


def _check_conversation(example: Example, source: str) -> None:
    turns = _people(example.messages)
    if not turns:
        return
    for number, turn in enumerate(example.messages, start=1):
        if turn.role not in (*ROLES, *OTHERS):
            what = f"Turn {number} has the role {turn.role!r}."
            raise DataError(what, file=source, row=example.row or None, remedy=f"Known are {', '.join(ROLES)}.")
    # Whoever has the last word, there must be an answer to learn.
    heard = turns if example.messages[-1].role not in OTHERS else []
    problem = out_of_turn([turn for turn in heard if turn.role != "system"])
    system = [number for number, turn in enumerate(turns) if turn.role == "system"]
    if system and system != list(range(len(system))):
        problem = "The system's message stands after others."
    if problem:
        remedy = "After what the system says, user and assistant speak in turn, and the assistant last."
        raise DataError(problem, file=source, row=example.row or None, remedy=remedy)


def _people(turns: Sequence[Message]) -> list[Message]:
    """What is said by those who speak in turn; when a tool has answered the assistant goes on, in the same turn."""
    found: list[Message] = []
    for before, turn in zip((None, *turns), turns, strict=False):
        if turn.role in OTHERS:
            continue
        goes_on = before is not None and before.role in ("tool", "function") and turn.role == "assistant"
        if goes_on and found and found[-1].role == "assistant":
            found.pop()
        found.append(turn)
    return found


def out_of_turn(turns: Sequence[Message]) -> str:
    """What is wrong with the order of speakers; empty where nothing is."""
    if not turns or turns[-1].role != "assistant":
        return "The conversation does not end with the assistant: there is no answer to learn."
    for number, turn in enumerate(turns, start=1):
        due = "user" if number % 2 else "assistant"
        if turn.role != due:
            return f"Turn {number} of user and assistant is the {turn.role}'s where the {due}'s is due."
    return ""


def prompt_key(example: Example) -> str:
    """What a prompt is but for case, spaces and forms of letters; of a conversation, all that is said before."""
    said = [turn.content for turn in example.messages[:-1]] or [example.prompt]
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", "\n".join(said)).casefold()).strip()


def groups_to_write(dataset: Dataset) -> list[int]:
    """[N] what no split may separate: rows of one group, of one prompt, of one family."""
    families = [example.parent or example.id or None for example in dataset]
    given = [example.group for example in dataset]
    of_prompt = merge_groups(given, [prompt_key(example) for example in dataset])
    return merge_groups(families, of_prompt) if any(example.parent for example in dataset) else of_prompt
