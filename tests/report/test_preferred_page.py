"""The page where preferences were learned."""

from __future__ import annotations

from typing import Any

import pytest
from report_page import Page, asks_the_network_for_nothing, is_clear_to_screen_readers

from fewtune.report.html import render
from fewtune.report.preferred_words import advice_of, sentence_of
from fewtune.report.sections import preferred

HOSTILE = '"><script>alert(1)</script> & more'


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.05, "high": mean + 0.05}


def compared(difference: float, verdict: str, **more: Any) -> dict[str, Any]:
    numbers = {"difference": difference, "low": difference - 0.02, "high": difference + 0.02, "p": 0.01}
    return {"other": "first_stage", **numbers, "verdict": verdict, "rows_needed": None, "rows_needed_for": 0.1, **more}


def verdict(gain: float = 0.2, said: str = "better", loss: str = "worse") -> dict[str, Any]:
    return {
        "tuned": True,
        "tried": {"accuracy": interval(0.5 + gain)},
        "first": {"accuracy": interval(0.5)},
        "against_first": compared(gain, said, rows_needed=300 if said == "cannot be told apart" else None),
        "loss_against_first": compared(-0.031, loss, metric="bits_per_byte"),
    }


def result(name: str = "dpo", found: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    cv = {"accuracy": interval(0.7), "reward_accuracy": interval(0.8), "margin": interval(1.2)}
    cv |= {"bits_per_byte": interval(1.3), "loss": interval(3.0)}
    first = {"name": "first_stage", "title": "The first stage as it is", "status": "judged", "seconds": 1.0}
    first |= {"cv": {"accuracy": interval(0.5), "bits_per_byte": interval(1.27)}}
    tuned = {"name": "dpo", "title": HOSTILE, "status": "judged", "cv": cv, "seconds": 30.0}
    tuned |= {"against_first": compared(0.2, "better"), "trainable_parameters": 10_000}
    skipped = {"name": "kto", "title": "KTO", "status": "skipped", "reason": "the budget was spent before it"}
    place = 1 if name == "dpo" else 0
    plain: dict[str, Any] = {
        "format": 1,
        "task": "preference",
        "source": "marks.jsonl",
        "rows": 60,
        "pairs": True,
        "first_stage": "runs/notes",
        "seed": 1,
        "winner": {"name": name, "title": HOSTILE, "rung": place, "cv": [first, tuned][place]["cv"]},
        "ladder": [first, tuned, skipped],
        "samples": [
            {"row": 1, "id": "a", "prompt": "p", "completion": "c", "answers": {"first_stage": "x", "winner": HOSTILE}}
        ],
        "forgetting": {"measured": [], "skipped": ["general text: no time."]},
        "test": {
            "source": "test.jsonl",
            "rows": 9,
            "accuracy": interval(0.66),
            "first": {"accuracy": interval(0.5)},
            "against_first": compared(0.16, "better"),
            "leaks": [{"row": 2}],
        },
        "versions": {},
        "hardware": {},
    }
    plain |= changes
    found = found or verdict()
    plain["verdict"] = found | {"sentence": sentence_of(plain, found), "advice": advice_of(plain, found)}
    return plain


def test_the_page_keeps_what_every_page_promises() -> None:
    source = render(result())
    page = Page(source)
    asks_the_network_for_nothing(page)
    is_clear_to_screen_readers(page)
    assert "<script>alert" not in source


def test_it_says_what_was_gained_what_it_cost_and_what_the_test_file_showed() -> None:
    text = Page(render(result())).text
    for said in ("70.0 %", "better, by 20 points (18 to 22)", "cost 0.031 bits per byte more", "66.0 %", "50.0 %"):
        assert said in text
    assert "The prompts of 1 of its rows also stand in the file of preferences" in text
    assert "Skipped" in text or "skipped" in text
    assert "--set dpo.beta=0.3" in text


def test_answers_can_be_marked_against_the_first_stage() -> None:
    page = Page(render(result()))
    assert page.values("data-way") == ["first_stage", "winner"]
    assert 'class="marking"' in page.source


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (verdict(0.02, "cannot be told apart"), "bought nothing that these rows can show"),
        (verdict(-0.2, "worse"), "made it worse"),
        ({"tuned": False}, "No preference tuning was judged"),
    ],
)
def test_where_it_bought_nothing_it_says_so_and_what_to_do(found: dict[str, Any], said: str) -> None:
    plain = result("first_stage", found)
    assert said in plain["verdict"]["sentence"]
    assert "first stage is kept" in plain["verdict"]["sentence"]
    assert plain["verdict"]["advice"]
    assert said in Page(render(plain)).text


def test_rows_that_would_tell_are_asked_for() -> None:
    plain = result("first_stage", verdict(0.02, "cannot be told apart"))
    assert "about 300 in all" in plain["verdict"]["advice"][0]["do"]


@pytest.mark.parametrize("changes", [{"test": None}, {"samples": []}, {"ladder": []}, {"forgetting": None}])
def test_odd_results_are_drawn_all_the_same(changes: dict[str, Any]) -> None:
    plain = result()
    plain |= changes
    assert "<h1" in render(plain)
    assert (preferred.test(plain) is None) == ("test" in changes)
