"""The result of a model that writes in a terminal: the ladder, the verdict, and two answers side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fewtune.report.sections import beside, decision, written
from fewtune.report.terminal import compared, plain, steps
from fewtune.report.words import NBSP

MOST_SAMPLES = 2
TITLES = {"bits_per_byte": "Bits/byte", "bleu": "BLEU", "rouge_l": "ROUGE-L"}


def ladder_table(result: Mapping[str, Any]) -> RenderableType:
    """Every candidate with bits per byte, BLEU, ROUGE-L and time; `*` marks the chosen one."""
    view = written.ladder(result)
    rungs: list[dict[str, Any]] = view["rungs"] if view else []
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("  Candidate")
    for heading in (*TITLES.values(), "Against prompting", "Time"):
        table.add_column(heading, justify="left" if heading.startswith("Against") else "right", no_wrap=True)
    for rung in rungs:
        table.add_row(*_row(rung), style="bold" if rung["chosen"] else "dim" if rung["skipped"] else "")
    skipped = [plain(f"Skipped {rung['title']}: {rung['reason']}", "dim") for rung in rungs if rung["skipped"]]
    return Group(table, Text(), *skipped) if skipped else table


def _row(rung: Mapping[str, Any]) -> list[RenderableType]:
    title = Table.grid(padding=(0, 1, 0, 0))
    title.add_row(plain("*" if rung["chosen"] else " "), plain(rung["title"]))
    if rung["skipped"]:
        return [title, *[plain("-")] * len(TITLES), plain("skipped"), plain("-")]
    known = {name: value for name, value, _ in rung["scores"]}
    numbers = [plain(known.get(written.title_of(name), "-").replace("–", "-")) for name in TITLES]
    found = rung["against"]
    word = plain("-")
    if found is not None:
        said = "cannot tell" if found.kind == "unclear" else found.kind
        word = plain(f"{found.difference.split(NBSP)[0]} {said}")
    return [title, *numbers, word, plain(rung["time"])]


def summary(result: Mapping[str, Any]) -> RenderableType:
    """The verdict, what it was held against, the test file, samples, what to do next."""
    head, advice = written.headline(result), decision.advice(result)
    parts: list[RenderableType] = [Text(), plain(head["verdict"], "bold"), Text()]
    for words, found in head["against"]:
        parts.append(plain(f"Against {words}: ").append_text(compared(found)).append("."))
    tested = written.test(result)
    if tested is not None:
        scores = {row["name"]: row["test"] for row in tested["metrics"]}
        told = [f"{name} {scores[name][0]}" for name in map(written.title_of, TITLES) if name in scores]
        parts.append(plain(f"On the test file: {', '.join(told) or tested['no_score']}."))
    parts += [plain(said) for said in _beside(result)]
    shown = written.samples(result)
    for row in (shown["rows"] if shown else [])[:MOST_SAMPLES]:
        parts += [Text(), plain(f"Row {row['row']}: {row['prompt'].text}", "bold")]
        parts.append(plain(f"  Given: {row['given'].text}"))
        parts += [plain(f"  {one['words']}: {one['text'].text or 'nothing'}") for one in row["answers"]]
    if advice:
        parts += [Text(), plain("What to do next", "bold"), steps(advice["advice"])]
    return Group(*parts)


def _beside(result: Mapping[str, Any]) -> list[str]:
    """What was forgotten and what was learnt by heart, or why neither is known."""
    forgot, heart = beside.forgetting(result), beside.memorisation(result)
    said = [one["sentence"] for one in forgot["sets"]] + forgot["skipped"] if forgot else []
    return said + ([heart["sentence"] or heart["skipped"]] if heart else [])
