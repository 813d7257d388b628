from __future__ import annotations

import io
from typing import Any

import pytest
import report_results as results
from rich.console import Console, RenderableType

from fewtune.report.terminal import ladder_table, summary


def printed(part: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, no_color=True, force_terminal=False)
    console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_ladder_fits_80_columns_and_marks_the_winner_without_colour() -> None:
    text = printed(ladder_table(results.full()))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    (chosen,) = [line for line in lines if line.startswith("*")]
    for cell in ("Contrastive tuning", "84.2 %", "80.3–88.1 %", "+1.8 cannot tell", "5 min 12 s"):
        assert cell in chosen
    assert "-3.5 worse" in text
    assert "+47.8 better" in text
    assert "Skipped LoRA on a larger backbone: It would take about 41 min;" in " ".join(text.split())
    assert "\x1b" not in text


def test_summary_says_the_verdict_the_number_and_what_next() -> None:
    text = printed(summary(results.full()))
    for said in (
        "Believe it: 84 % of new tickets are labelled right",
        "Of every 100 new texts like these, 80 to 88 are labelled right on average.",
        "Accuracy 84.2 %, 95 % interval 80.3 – 88.1 %, by Contrastive tuning",
        "Against no training at all: better, +23.0 points.",
        "1. Check the 24 labels listed below.",
    ):
        assert said in text


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_any_width(width: int) -> None:
    assert "84.2" in printed(summary(results.full()), width)
    printed(ladder_table(results.full()), width)


def test_minimal_result() -> None:
    assert "Too few rows to tell." in printed(summary(results.minimal()))
    assert "* Largest class" in printed(ladder_table(results.minimal()))


def test_hostile_texts_drive_neither_markup_nor_terminal() -> None:
    made: dict[str, Any] = results.minimal()
    made["verdict"]["sentence"] = "[red]not markup[/red] \x1b[2J \x07"
    made["ladder"][0]["title"] = "[bold]\x1b]0;owned\x07"
    text = printed(summary(made)) + printed(ladder_table(made))
    assert "[red]not markup[/red]" in text
    assert "[bold]" in text
    assert "\x1b" not in text
    assert "\x07" not in text
