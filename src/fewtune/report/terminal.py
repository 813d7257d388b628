"""The result in a terminal: the ladder as a table, and the summary that ends a run.

Made for 80 columns and for terminals without colour: what is marked by colour is also marked by a sign or a word.
Texts are never parsed as rich markup, so a file named `[red].csv` prints as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fewtune.report.sections import decision
from fewtune.report.words import NBSP, Comparison, Range, interval, share

_STYLES = {"better": "green", "worse": "red", "unclear": "dim"}
_SPELT = {NBSP: " ", "−": "-", "\n": " ", "\t": " "}
"""Characters that old code pages and `grep` stumble over."""


def ladder_table(result: Mapping[str, Any]) -> RenderableType:
    """Every candidate with accuracy, interval, points against the rung below and time; `*` marks the chosen one."""
    view = decision.ladder(result)
    return rungs_table(view["rungs"] if view else [], ("Accuracy", "95 % interval"), "Against below", _cells)


def rungs_table(
    rungs: Sequence[Mapping[str, Any]],
    scores: Sequence[str],
    against: str,
    cells: Callable[[Mapping[str, Any]], tuple[list[str], Comparison | None]],
) -> RenderableType:
    """Rungs under headings; `cells` gives of one that was judged its scores and what it is held against."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("  Candidate")
    for heading in (*scores, against, "Time"):
        table.add_column(heading, justify="left" if heading == against else "right", no_wrap=True)
    for rung in rungs:
        # A grid of its own keeps the second line of a long title clear of the mark.
        title = Table.grid(padding=(0, 1, 0, 0))
        title.add_row(plain("*" if rung["chosen"] else " "), plain(rung["title"]))
        row: list[RenderableType] = [*[plain("-")] * len(scores), plain("skipped"), plain("-")]
        if not rung["skipped"]:
            values, found = cells(rung)
            row = [*map(plain, values), _short(found) if found else plain("-"), plain(rung["time"])]
        table.add_row(title, *row, style="bold" if rung["chosen"] else "dim" if rung["skipped"] else "")
    skipped = [plain(f"Skipped {rung['title']}: {rung['reason']}", "dim") for rung in rungs if rung["skipped"]]
    return Group(table, Text(), *skipped) if skipped else table


def _cells(rung: Mapping[str, Any]) -> tuple[list[str], Comparison | None]:
    between = rung["range"].replace(f"{NBSP}–{NBSP}", "–") if rung["score"] else "-"
    return [rung["score"] or "-", between], rung["below"]


def _short(found: Comparison) -> Text:
    """`+47.8 better`, short enough for a column."""
    word = "cannot tell" if found.kind == "unclear" else found.kind
    return plain(f"{found.difference.split(NBSP)[0]:>5} ").append(word, style=_STYLES[found.kind])


def compared(found: Comparison) -> Text:
    """`better, +2.4 points`, the word in colour."""
    said = Text(found.verdict, style=_STYLES[found.kind])
    return said.append_text(plain(f", {found.difference}")) if found.difference else said


def summary(result: Mapping[str, Any]) -> RenderableType:
    """The verdict, the number, what it was held against, and what to do next."""
    head = decision.headline(result)
    parts: list[RenderableType] = [Text(), plain(head["verdict"], "bold"), Text()]
    if head["accuracy"]:
        parts.append(plain(f"{head['words']}"))
        parts.append(plain(f"Accuracy {head['accuracy']}, 95 % interval {head['range']}, by {head['winner']}."))
    tested = result.get("test")
    if isinstance(tested, Mapping):
        parts.append(plain(_tested(tested)))
        parts += [plain(said, "yellow") for said in _reading(tested)]
    for words, found in head["against"]:
        parts.append(plain(f"Against {words}: ").append_text(compared(found)).append("."))
    parts += to_do(result)
    return Group(*parts)


def _tested(test: Mapping[str, Any]) -> str:
    """The score on the person's own test file, without the rows that leaked where there are any."""
    leaks, found = len(test.get("leaks") or ()), Range.of(test.get("accuracy"))
    if found is None:
        return f"No test score: {test.get('no_score') or 'no row was scored'}."
    told = f"On the test file: {share(found.mean)}, {interval(found)}"
    with_them = Range.of((test.get("with_leaks") or {}).get("accuracy"))
    if not leaks or with_them is None:
        return told + "."
    return told + f", {leaks} leaked rows left out ({share(with_them.mean)} with them)."


def _reading(test: Mapping[str, Any]) -> list[str]:
    """What the record of a locked test file says, where there is something to say."""
    reading = test.get("reading") or {}
    worth = reading.get("before") or reading.get("changed") or not reading.get("recorded", True)
    return [str(reading.get("sentence", ""))] if worth else []


def to_do(result: Mapping[str, Any]) -> list[RenderableType]:
    """What to do next under its heading; nothing where there is nothing to do."""
    advice = decision.advice(result)
    return [Text(), plain("What to do next", "bold"), steps(advice["advice"])] if advice else []


def steps(advice: list[dict[str, str]]) -> RenderableType:
    """What to do next, numbered."""
    table = Table.grid(padding=(0, 1))
    for number, one in enumerate(advice, 1):
        step = plain(one["do"])
        if one["why"]:
            step.append_text(plain(f" {one['why']}", "dim"))
        table.add_row(plain(f"{number}."), step)
    return Padding(table, (0, 0, 0, 2))


def plain(text: str, style: str = "") -> Text:
    """Text as it is, without control characters: a label must not be able to drive the terminal."""
    spelt = (_SPELT.get(letter, letter) for letter in text if letter.isprintable() or letter in _SPELT)
    return Text("".join(spelt), style)
