"""Scores of answers in a file, and of two systems on the same rows: `fewtune score`.

Any table will do: what `fewtune generate --out` wrote, or what another system answered. No model is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewtune.data.columns import asked
from fewtune.data.read import read_table
from fewtune.data.readers.base import Cell, Table
from fewtune.errors import ColumnError, DataError, UsageError
from fewtune.metrics.answers import Answers, by_prompt
from fewtune.plural import agreeing
from fewtune.seeds import check_seed

if TYPE_CHECKING:
    from fewtune.metrics.generation import TextScores
    from fewtune.metrics.paired import Comparison

ANSWER = ("answer", "output", "generated", "prediction", "hypothesis", "response")
REFERENCE = ("references", "reference", "target", "expected", "completion")
PROMPT = ("prompt", "question", "input", "instruction")
SLOTS = ("slots",)


@dataclass(frozen=True)
class Columns:
    """Names of columns; one that is None is found by its usual names."""

    answer: str | None = None
    reference: str | None = None
    prompt: str | None = None
    slots: str | None = None
    group: str | None = None
    """Never found by itself."""


@dataclass(frozen=True)
class Scored:
    """Scores of a file, and of another against it."""

    source: str
    scores: TextScores
    other_source: str | None = None
    other: TextScores | None = None
    comparisons: dict[str, Comparison] | None = None
    """Of the first against the other, by score."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        told: dict[str, Any] = {"source": self.source, "notes": list(self.notes), "scores": self.scores.to_json()}
        if self.other is not None and self.comparisons is not None:
            told["against"] = {"source": self.other_source, "scores": self.other.to_json()}
            told["comparisons"] = {name: found.to_json() for name, found in self.comparisons.items()}
        return told


def score(
    source: object,
    *,
    against: object = None,
    columns: Columns | None = None,
    scores: Sequence[str] | None = None,
    own: Sequence[str | Callable[..., Any]] = (),
    each_prompt_once: bool = False,
    seed: int = 0,
) -> Scored:
    """Score the answers in a file; where another is given, say which system is better.

    Parameters
    ----------
    source : a file of answers with their references, or anything else `fewtune.read` reads.
    against : another system's answers to the same rows in the same order. It needs no references.
    columns : names of columns that are not to be guessed.
    scores : names of scores; all when not given.
    own : scores of your own, `name=path.py:function` or functions.
    each_prompt_once : join the rows of a prompt: its first answer, held against all references it has.
    seed : of the bootstrap.

    Raises
    ------
    DataError, UsageError : with what to do.
    """
    from fewtune.metrics.generation import compare_all, score_all

    check_seed(seed)
    names = columns or Columns()
    table = read_table(source)
    answers, notes = read_answers(table, names)
    others = None if against is None else _others(read_table(against), names, answers)
    if each_prompt_once:
        answers, others = _each_prompt_once(answers, others)
    elif answers.prompts is not None and (repeats := answers.rows - len(set(answers.prompts))):
        notes.append(
            f"{repeats} of {answers.rows} rows {agreeing(repeats, 'repeats', 'repeat')} the prompt of "
            "another. Joined (--each-prompt-once), a prompt "
            "counts once and is held against all its references; else its rows are one observation in intervals."
        )
    found = score_all(answers, scores=scores, own=own, seed=seed)
    if others is None:
        return Scored(table.source, found, notes=tuple(notes))
    other = score_all(others, scores=scores, own=own, seed=seed)
    comparisons = compare_all(found, other, groups=answers.groups, seed=seed)
    return Scored(table.source, found, str(against), other, comparisons, tuple(notes))


def read_answers(table: Table, columns: Columns) -> tuple[Answers, list[str]]:
    """The answers and references in a table, and what was chosen."""
    answer = _column(table, columns.answer, ANSWER, "answers")
    reference = _column(table, columns.reference, REFERENCE, "references", besides=answer)
    assert answer is not None
    assert reference is not None
    prompt = _column(table, columns.prompt, PROMPT, "prompts", besides=answer, needed=False)
    slots = _column(table, columns.slots, SLOTS, "slots", needed=False)
    group = None if columns.group is None else asked(table, columns.group, "group")
    # Unless groups are given, rows of one prompt go together: counted apart, equal systems were told apart in up to
    # 17 % of trials in place of 5 (benchmarks/generation/text_scores.json).
    together = group or prompt
    answers = Answers.of(
        [cell or "" for cell in table.columns[answer]],
        _references(table, reference),
        prompts=None if prompt is None else [cell or "" for cell in table.columns[prompt]],
        slots=None if slots is None else _cells(table, slots),
        groups=None if together is None else table.columns[together],
    )
    chosen = [("answers", answer), ("references", reference), ("prompts", prompt), ("slots", slots)]
    said = ", ".join(f"{role} in {name!r}" for role, name in chosen if name is not None)
    return answers, [*table.notes, f"Columns: {said}."]


def _others(table: Table, columns: Columns, answers: Answers) -> Answers:
    """Another system's answers to the same rows, with the first's references."""
    if len(table) != answers.rows:
        raise DataError(
            f"There are {len(table)} rows, and {answers.rows} in the file it is held against.",
            file=table.source,
            remedy="Give both systems' answers to the same rows, in the same order.",
        )
    answer = _column(table, columns.answer, ANSWER, "answers")
    assert answer is not None
    prompt = _column(table, columns.prompt, PROMPT, "prompts", besides=answer, needed=False)
    if prompt is not None and answers.prompts is not None:
        for place, (mine, theirs) in enumerate(zip(answers.prompts, table.columns[prompt], strict=True)):
            if mine != (theirs or ""):
                raise DataError(
                    "The prompt is another than in the file it is held against.",
                    file=table.source,
                    row=table.rows[place],
                    remedy="Give both systems' answers to the same rows, in the same order.",
                )
    return replace(answers, outputs=tuple(cell or "" for cell in table.columns[answer]))


def _each_prompt_once(answers: Answers, others: Answers | None) -> tuple[Answers, Answers | None]:
    if answers.prompts is None:
        raise UsageError("There is no column of prompts, so none can be scored once. Name it with --prompt.")
    joined = by_prompt(answers.prompts, answers.references)

    def once(given: Answers) -> Answers:
        return Answers(
            tuple(joined.taken(given.outputs)),
            joined.references,
            joined.prompts,
            None if given.slots is None else tuple(joined.taken(given.slots)),
            None if given.groups is None else joined.taken(list(given.groups)),
        )

    return once(answers), None if others is None else once(others)


def _column(
    table: Table,
    named: str | None,
    usual: Sequence[str],
    role: str,
    *,
    besides: str | None = None,
    needed: bool = True,
) -> str | None:
    """The column of a role: the one named, else the first of its usual names."""
    if named is not None:
        return asked(table, named, role)
    folded = {column.strip().casefold(): column for column in reversed(table.columns) if column != besides}
    found = next((folded[name] for name in usual if name in folded), None)
    if found is None and needed:
        option = {"answers": "--answer", "references": "--reference"}[role]
        raise ColumnError(
            f"No column holds {role}: none is called {', '.join(usual)}.",
            file=table.source,
            remedy=f"Name it with {option}. Columns: {', '.join(map(repr, table.columns))}.",
        )
    return found


def _references(table: Table, column: str) -> list[tuple[str, ...]]:
    """One text a row, or several where cells are lists."""
    found = []
    for place, cell in enumerate(_cells(table, column)):
        texts = tuple(map(str, cell)) if isinstance(cell, list | tuple) else () if cell is None else (str(cell),)
        if not texts:
            raise DataError(
                f"There is no reference in column {column!r}.",
                file=table.source,
                row=table.rows[place],
                remedy="Leave the row out, or give one.",
            )
        found.append(texts)
    return found


def _cells(table: Table, column: str) -> Sequence[object]:
    """Cells as they were given where they are lists or objects, else as text."""
    given: Sequence[Cell] = table.columns[column]
    values = table.values.get(column)
    if column not in table.nested or values is None:
        return given
    return [
        value if isinstance(value, list | tuple | dict) else cell for value, cell in zip(values, given, strict=True)
    ]


def score_to_file(found: Scored, path: Path) -> None:
    """Write the scores as JSON, whole or not at all."""
    import json

    from fewtune.data.files import written_whole

    text = json.dumps(found.to_json(), ensure_ascii=False, indent=1) + "\n"
    try:
        with written_whole(path) as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror or error}). Name another file.") from error


__all__ = ["Columns", "Scored", "read_answers", "score", "score_to_file"]
