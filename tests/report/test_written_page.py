"""The page where texts are written: what is marked there, what was forgotten, what was learnt by heart."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from report_page import Page, asks_the_network_for_nothing, is_clear_to_screen_readers

from fewtune.report.html import render
from fewtune.report.sections import beside, written

HOSTILE = '"><script>alert(1)</script> & more'


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}


def rung(name: str, bits: float) -> dict[str, Any]:
    return {"name": name, "title": name, "status": "judged", "cv": {"bits_per_byte": interval(bits)}, "seconds": 1.0}


def result(**changes: Any) -> dict[str, Any]:
    answers = {"zero_shot": HOSTILE, "few_shot": "x" * 2000, "winner": "good"}
    side = {"rows": 12, "reproduced": interval(0.5), "run_share": interval(0.6)}
    run = {"row": 4, "words": 7, "share": 0.7, "text": HOSTILE}
    plain: dict[str, Any] = {
        "format": 1,
        "task": "generation",
        "source": "notes.jsonl",
        "rows": 40,
        "seed": 1234,
        "verdict": {"sentence": "It is so."},
        "winner": {"name": "lora", "title": "LoRA", "rung": 2, "cv": {"bits_per_byte": interval(1.2)}},
        "ladder": [rung("zero_shot", 3.0), rung("few_shot", 2.0), rung("lora", 1.2)],
        "samples": [{"row": 1, "id": "a", "prompt": HOSTILE, "completion": "given", "answers": answers}],
        "forgetting": {
            "measured": [
                {
                    "name": "general text",
                    "rows": 60,
                    "before": interval(1.5),
                    "after": interval(1.6),
                    "difference": interval(0.2),
                    "verdict": "forgotten",
                    "sentence": "It was forgotten.",
                    "hardest_hit": [{"row": 0, "before": 1.0, "after": 2.0, "text": HOSTILE}],
                }
            ],
            "skipped": ["your probe prompts: no time."],
        },
        "memorisation": {
            "training": {**side, "runs": [run]},
            "held_out": {**side, "runs": []},
            "difference": interval(0.3),
            "verdict": "memorised",
            "sentence": "Learnt by heart.",
        },
        "test": None,
        "versions": {},
        "hardware": {},
    }
    return plain | changes


def test_the_page_says_why_a_length_of_less_loss_was_not_chosen() -> None:
    aside = "LoRA, 6 epochs cost less as it is <b>"
    assert "LoRA, 6 epochs cost less as it is &lt;b&gt;" in render(result(selection={"aside": aside}))
    assert "cost less as it is" not in render(result())


def test_the_page_keeps_what_every_page_promises() -> None:
    source = render(result())
    page = Page(source)
    asks_the_network_for_nothing(page)
    is_clear_to_screen_readers(page)
    assert "<script>alert" not in source
    scripts = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
    assert len(scripts) == 1
    sealed = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"sha256-{sealed}" in source, "the policy lets the marking script run"
    assert ".marking" in scripts[0]


def test_answers_carry_their_whole_text_for_the_marks() -> None:
    page = Page(render(result()))
    assert page.values("data-answer") == [HOSTILE, "x" * 2000, "good"]
    assert page.values("data-prompt") == [HOSTILE]
    assert page.values("data-seed") == ["1234"]


def test_the_winner_is_marked_against_each_other_way() -> None:
    shown = written.samples(result())
    assert shown is not None
    assert shown["pair"]["first"] == "winner"
    assert [way for way, _ in shown["pair"]["others"]] == ["few_shot", "zero_shot"]
    alone = [{"row": 1, "prompt": "p", "completion": "c", "answers": {"zero_shot": "a"}}]
    one = written.samples(result(samples=alone))
    assert one is not None
    assert one["pair"] is None
    assert 'class="marking"' not in render(result(samples=alone))


def test_what_was_forgotten_and_given_back_stands_there_with_intervals() -> None:
    text = Page(render(result())).text
    for said in ("It was forgotten.", "+0.200", "+0.100 to +0.300", "your probe prompts: no time."):
        assert said in text
    for said in ("Learnt by heart.", "50.0 %", "40.0 – 60.0 %", "+30.0 points"):
        assert said in text
    heart = beside.memorisation(result())
    assert heart is not None
    assert heart["runs"][0]["row"] == "5", "rows of the file count from one"


@pytest.mark.parametrize("block", [None, {}, {"measured": [{}], "skipped": []}, {"skipped": "no time"}])
def test_old_or_odd_results_are_drawn_all_the_same(block: Any) -> None:
    assert "<h1" in render(result(forgetting=block, memorisation=block))
