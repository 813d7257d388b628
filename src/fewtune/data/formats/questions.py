"""What annotators were asked: the one question whose answers are the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fewtune.data.formats.base import Seen
from fewtune.data.formats.votes import Votes
from fewtune.data.readers.base import Table, unique_names
from fewtune.errors import ColumnError


def chosen_question(names: Sequence[str], source: str, asked: str | None) -> str:
    """The question asked for, else the only one; `label` where nobody answered any.

    Raises
    ------
    ColumnError : there are several, or not the one asked for.
    """
    known = list(dict.fromkeys(names))
    listing = f"Questions: {', '.join(map(repr, known[:20]))}."
    if asked is not None and known:
        same = [name for name in known if name == asked] or [n for n in known if n.casefold() == asked.casefold()]
        if not same:
            raise ColumnError(f"There is no question {asked!r} for the label.", file=source, remedy=listing)
        return same[0]
    if len(known) > 1:
        what = f"Annotators answered several questions: {', '.join(map(repr, known[:20]))}."
        raise ColumnError(what, file=source, remedy="Say which is the label with --label NAME (label=… in Python).")
    return known[0] if known else asked or "label"


def voted(answers: Sequence[Sequence[Mapping[str, list[str]]]], source: str, asked: str | None) -> tuple[str, Votes]:
    """The one question, and what was voted for in each row. `answers`: question to labels, by annotator, by row.

    Raises ColumnError as `chosen_question` does.
    """
    question = chosen_question([name for row in answers for one in row for name in one], source, asked)
    votes = Votes()
    for row in answers:
        votes.add([one[question] for one in row if question in one])
    return question, votes


def with_label(table: Table, question: str, votes: Votes, title: str, *, label: str | None = None) -> Seen:
    """The table with a column of the labels voted for, and columns of agreement where several voted.

    `label` is the column asked for, where it may be another than that of the question.
    """
    extra = {question: votes.labels, **votes.columns()}
    names = unique_names([*table.columns, *extra])[len(table.columns) :]
    if question in table.columns:  # the label that was voted for is the one meant
        names = unique_names([*table.columns, f"{question} (annotated)", *list(extra)[1:]])[len(table.columns) :]
    columns = {**table.columns, **dict(zip(names, extra.values(), strict=True))}
    notes = (*table.notes, f"Format: {title}.", *votes.notes(table.rows))
    id_column = "id" if any(table.columns.get("id", ())) else None
    other = label if label is not None and label != question and label in table.columns else None
    return Seen(replace(table, columns=columns, notes=notes), label=other or names[0], id=id_column)
