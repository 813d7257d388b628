"""Preference rows: of two answers to one prompt, which is better; or of one answer, whether it is wanted.

What they are read from:

- `prompt`, `chosen`, `rejected`, as texts or as lists of messages; the prompt may be missing where both answers are
  whole conversations or transcripts that begin alike, as in many sets of the Hub;
- `prompt`, `completion`, `label` (true or false), of single answers;
- the marks that the page of a fit saves: a mark that decides is a pair, a tie is none.

A pair is an `Example` with `completion` (chosen) and `rejected`; a single answer has the label `wanted` or `unwanted`.
Every fault is named with its file and row, before any model is opened.
"""

from __future__ import annotations

from collections.abc import Sequence

from fewtune.data.base import Dataset, Example
from fewtune.data.exchanges import LEAST_ROWS, ROLES, out_of_turn, prompt_key
from fewtune.data.preference_cells import GROUPS, UNWANTED, WANTED, Cells, rejected_of, same_answer
from fewtune.data.read import dataset_of, read_table
from fewtune.data.readers.base import Table
from fewtune.data.words import plain
from fewtune.errors import DataError, TaskError
from fewtune.plural import counted


def read_preferences(source: object) -> Dataset:
    """Preference rows from anything that `fewtune.read` reads as a table, checked.

    Raises
    ------
    DataError : with file, row and what to do.
    """
    if isinstance(source, Dataset):
        check_preferences(source)
        return source
    table = read_table(source)
    group = next((name for name in table.columns if plain(name) in GROUPS), None)
    _check_prompts(table)
    found = dataset_of(table, group=group, task="preference")
    check_preferences(found)
    return found.replace(notes=[*found.notes, *_told(found.examples)])


def are_pairs(dataset: Dataset) -> bool:
    """Whether rows are pairs; else single answers."""
    return any(example.rejected is not None for example in dataset)


def check_preferences(dataset: Dataset) -> None:
    """Whether rows make a task of preference.

    Raises
    ------
    DataError : an empty answer, a pair of equal ones, two rows that contradict each other, with file and row.
    TaskError : too few rows, or single answers that are all wanted or all unwanted.
    """
    if len(dataset) < LEAST_ROWS:
        what = f"{len(dataset)} preference rows are too few to judge anything."
        raise TaskError(what, file=dataset.source, remedy=f"Give {LEAST_ROWS} or more; from 50 on a result says much.")
    for example in dataset:
        _check(example, dataset.source)
    _check_agreement(dataset)
    if not are_pairs(dataset) and len(dataset.classes) < 2:
        what = f"All {len(dataset)} answers are {dataset.classes[0]}: there is nothing to tell apart."
        raise TaskError(what, file=dataset.source, remedy="Give wanted and unwanted answers both.")


def _check_prompts(table: Table) -> None:
    """Raises DataError for a row without a prompt, which reading for any other purpose leaves out."""
    cells = Cells.of(table)
    for place, row in enumerate(table.rows):
        if cells.decides(place) and not cells.example(place).prompt.strip():
            raise DataError("The prompt is empty.", file=table.source, row=row, remedy="Fill it, or take the row out.")


def _check(example: Example, source: str) -> None:
    def fail(what: str, remedy: str) -> DataError:
        return DataError(what, file=source, row=example.row or None, remedy=remedy)

    if not example.prompt.strip() and not example.messages:
        raise fail("The prompt is empty.", "Fill it, or take the row out.")
    named = {"chosen": example.completion, "rejected": example.rejected}
    if example.rejected is None:
        named = {"completion": example.completion}
    for name, text in named.items():
        if not (text or "").strip():
            raise fail(f"The {name} answer is empty.", "Fill it, or take the row out.")
    if example.rejected is not None and same_answer(example.completion or "") == same_answer(example.rejected):
        raise fail("The chosen and the rejected answer are the same.", "Take the row out: it prefers nothing.")
    problem = out_of_turn([turn for turn in example.messages if turn.role != "system"]) if example.messages else ""
    unknown = next((turn.role for turn in example.messages if turn.role not in ROLES), None)
    if unknown is not None:
        raise fail(f"A turn has the role {unknown!r}.", f"Known are {', '.join(ROLES)}.")
    if problem:
        raise fail(problem, "User and assistant speak in turn, and the assistant last.")


def _check_agreement(dataset: Dataset) -> None:
    """Raises DataError where one row prefers what another rejects."""
    said: dict[tuple[str, ...], Example] = {}
    for example in dataset:
        asked, better = prompt_key(example), same_answer(example.completion or "")
        if example.rejected is None:
            key, opposite = (asked, better, example.label or ""), (asked, better, _other(example.label))
            what = "wants the answer that row {} does not want"
        else:
            worse = same_answer(example.rejected)
            key, opposite = (asked, better, worse), (asked, worse, better)
            what = "prefers the answer that row {} rejects for the same prompt"
        if opposite in said:
            row = said[opposite].row
            told = f"The row {what.format(row)}." if example.label != UNWANTED else f"Row {row} wants this answer."
            raise DataError(
                told, file=dataset.source, row=example.row or None, remedy="Decide which holds, and take one out."
            )
        said.setdefault(key, example)


def _other(label: str | None) -> str:
    return UNWANTED if label == WANTED else WANTED


def _told(examples: Sequence[Example]) -> list[str]:
    pairs = sum(example.rejected is not None for example in examples)
    if pairs:
        notes = [f"Task: preference. {counted(pairs, 'pair')} of a chosen and a rejected answer."]
    else:
        wanted = sum(example.label == WANTED for example in examples)
        notes = [
            f"Task: preference. {counted(wanted, 'answer is', 'answers are')} wanted, "
            f"{counted(len(examples) - wanted, 'is', 'are')} not."
        ]
    repeated = len(examples) - len(set(map(prompt_key, examples)))
    if repeated:
        notes.append(
            f"{counted(repeated, 'row has', 'rows have')} the prompt of another; rows of one prompt stay "
            "together in every split."
        )
    return notes


__all__ = ["UNWANTED", "WANTED", "are_pairs", "check_preferences", "read_preferences", "rejected_of"]
