"""The result of a model that writes in a terminal: the ladder, the verdict, and two answers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fewtune.report.sections import beside, tasks, written
from fewtune.report.terminal import compared, plain, rungs_table, to_do
from fewtune.report.words import Comparison, clip

MOST_SAMPLES = 2
LONGEST = 900
STYLES = {"better": "green", "worse": "red"}
TITLES = {"bits_per_byte": "Bits/byte", "bleu": "BLEU", "rouge_l": "ROUGE-L"}


def ladder_table(result: Mapping[str, Any]) -> RenderableType:
    """Every candidate with bits per byte, BLEU, ROUGE-L and time; `*` marks the chosen one."""
    view = written.ladder(result)
    return rungs_table(view["rungs"] if view else [], tuple(TITLES.values()), "Against prompting", _cells)


def _cells(rung: Mapping[str, Any]) -> tuple[list[str], Comparison | None]:
    known = {name: value for name, value, _ in rung["scores"]}
    return [known.get(written.title_of(name), "-").replace("–", "-") for name in TITLES], rung["against"]


def summary(result: Mapping[str, Any]) -> RenderableType:
    """The verdict, what it was held against, the test file, samples, what to do next."""
    head = written.headline(result)
    parts: list[RenderableType] = [Text(), plain(head["verdict"], "bold"), Text()]
    for words, found in head["against"]:
        parts.append(plain(f"Against {words}: ").append_text(compared(found)).append("."))
    tested = written.test(result)
    if tested is not None:
        scores = {row["name"]: row["test"] for row in tested["metrics"]}
        told = [f"{name} {scores[name][0]}" for name in map(written.title_of, TITLES) if name in scores]
        parts.append(plain(f"On the test file: {', '.join(told) or tested['no_score']}."))
    together = tasks.tasks(result)
    if together is not None:
        parts += [Text(), tasks_table(together["rows"]), Text()]
    parts += [plain(said) for said in _beside(result)]
    shown = written.samples(result)
    for row in (shown["rows"] if shown else [])[:MOST_SAMPLES]:
        parts += [Text(), plain(f"Row {row['row']}: {_line(row['prompt'].text)}", "bold")]
        parts.append(plain(f"  Given: {_line(row['given'].text)}"))
        parts += [plain(f"  {one['words']}: {_line(one['text'].text) or 'nothing'}") for one in row["answers"]]
    parts += to_do(result)
    return Group(*parts)


def _line(text: str) -> str:
    return clip(text, LONGEST).text


def tasks_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Each task's bits per byte in the mixture and tuned alone."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("Task", "Rows", "Share", "Mixed", "Alone", "Against alone"):
        table.add_column(heading, justify="left" if heading in ("Task", "Against alone") else "right")
    for row in rows:
        cells = [row["name"], row["rows"], row["share"], row["mixed"][0], row["alone"][0]]
        told = row["reason"] or f"{row['difference'][0]} {row['verdict']}"
        table.add_row(*map(plain, cells), plain(told, STYLES.get(row["kind"], "")))
    return table


def _beside(result: Mapping[str, Any]) -> list[str]:
    """What was forgotten and what was learnt by heart, or why neither is known."""
    forgot, heart = beside.forgetting(result), beside.memorisation(result)
    said = [one["sentence"] for one in forgot["sets"]] + forgot["skipped"] if forgot else []
    if forgot and forgot["replay"]:
        said = [forgot["replay"], *said]
    return said + ([heart["sentence"] or heart["skipped"]] if heart else [])
