"""The pages of several tasks and of stages: what is drawn, and that nothing hostile or missing breaks them."""

import io

import pytest
from report_page import Page, asks_the_network_for_nothing, is_clear_to_screen_readers

from fewtune.report import stages_terminal
from fewtune.report.html import render
from fewtune.report.sections import stages, tasks

HOSTILE = '"><script>alert(1)</script>'


def interval(mean):
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}


def result():
    cells = {name: {"bits_per_byte": interval(1.5), "bleu": interval(20.0)} for name in (HOSTILE, "second", "general")}
    change = {"name": HOSTILE, "verdict": "forgotten", "difference": interval(0.3), "sentence": f"{HOSTILE} was lost."}
    stage = {"number": 1, "name": HOSTILE, "rows": 8, "held_out": 2, "title": "LoRA", "folder": "1-a", "tuned": True}
    return {
        "format": 1,
        "task": "stages",
        "source": "a → second",
        "rows": 16,
        "seed": 0,
        "winner": {"name": "lora"},
        "ladder": [],
        "verdict": {"sentence": "It was so.", "advice": [{"do": "Replay.", "why": "It was lost."}]},
        "columns": [
            {"name": HOSTILE, "kind": "stage", "rows": 4},
            {"name": "second", "kind": "stage", "rows": 4},
            {"name": "general", "kind": "beside", "rows": 60},
        ],
        "table": [{"after": after, "cells": cells} for after in ("before", HOSTILE, "second")],
        "transfer": {"backward": interval(-0.3), "forgetting": interval(0.3), "forward": None, "formula": "R[s, t]"},
        "changes": [change],
        "stages": [stage, {**stage, "number": 2, "name": "second", "tuned": False}],
        "seconds": 3.0,
    }


def test_the_page_of_stages_is_sound():
    page = Page(render(result()))
    assert "<script>alert" not in page.source
    asks_the_network_for_nothing(page)
    is_clear_to_screen_readers(page)


@pytest.mark.parametrize("part", ["columns", "table", "transfer", "changes", "stages", "seed", "source"])
def test_the_page_of_stages_is_drawn_without_any_part(part):
    assert "<h1" in render({key: value for key, value in result().items() if key != part})


def test_a_stage_is_marked_where_it_was_tuned_and_told_where_it_was_not():
    view = stages.table(result())
    assert [[cell["own"] for _, cell in row["cells"]] for row in view["rows"]] == [
        [False, False, False],
        [True, False, False],
        [False, True, False],
    ]
    assert view["rows"][0]["title"] == "Before any stage"
    assert [one["name"] for one in stages.moved(result())["numbers"]] == ["Backward transfer", "Forgetting"]
    assert "no weights changed" in render(result())


def test_a_value_without_a_range_is_shown():
    found = result()
    found["table"][0]["cells"] = {"second": {"bits_per_byte": {"mean": 2.0, "low": None, "high": None}}}
    found["transfer"]["backward"] = {"mean": -0.1, "low": None, "high": None}
    assert stages.table(found)["rows"][0]["cells"][1][1]["bits"] == ("2.000", "–")
    assert stages.moved(found)["numbers"][0]["value"] == ("−0.100", "one prompt gives no range")
    render(found)


def test_the_terminal_says_the_same():
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    console.print(stages_terminal.stages_table(result()))
    console.print(stages_terminal.summary(result()))
    told = console.export_text()
    assert "1.500*" in told
    assert "It was so." in told
    assert "Backward transfer -0.300" in told or "Backward transfer −0.300" in told


def test_a_task_shows_what_mixing_did_to_it():
    held = {"difference": -0.2, "low": -0.3, "high": -0.1, "verdict": "worse"}
    task = {"name": HOSTILE, "rows": 8, "share": 0.25, "cv": {"bits_per_byte": interval(1.2)}}
    hurt = {**task, "against_alone": held, "alone": {"cv": {"bits_per_byte": interval(1.0)}}, "verdict": "hurt"}
    untold = {**task, "verdict": "not compared", "reason": "no time was left"}
    view = tasks.tasks({"tasks": [hurt, untold], "mixing": {"temperature": 2.0}})
    assert [(row["kind"], row["share"].split()[0]) for row in view["rows"]] == [("worse", "25"), ("unclear", "25")]
    assert view["rows"][0]["difference"][0] == "−0.200"
    assert view["rows"][1]["reason"] == "no time was left"
    assert tasks.tasks({"tasks": []}) is None
