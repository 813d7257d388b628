"""`audit.html`: what it says, that it asks the network for nothing, that no text of a row becomes markup."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import audit_results as results
import pytest
from report_page import (
    HOSTILE,
    Page,
    asks_the_network_for_nothing,
    has_no_markup_but_that_of,
    is_clear_to_screen_readers,
    places,
)

from fewtune.errors import StoreError
from fewtune.report.audit_page import SECTIONS, render, rewrite_audit, write_audit
from fewtune.report.page import coded


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(results.full()))


def test_all_sections_in_order(page: Page) -> None:
    assert page.sections == [one.id for one in SECTIONS]


def test_a_page_with_nothing_found_says_so_and_how_to_go_on() -> None:
    page = Page(render(results.clean()))
    assert page.sections == ["next", "sizes", "fine", "read", "again"]
    assert re.findall(r"<h1>(.*?)</h1>", page.source) == ["Nothing stands in the way."]
    assert "Fit. fewtune fit data/tickets.csv --test data/tickets_test.csv" in page.text


@pytest.mark.parametrize(
    "said",
    [
        "2 things would invalidate a result from these data.",
        "2 would invalidate a result 2 worth mending 1 good to know",
        "6 questions were asked of the data; 2 could not be, and here is why",
        "449 rows · 13 classes",
        "also in the training file. Take them out: fewtune prepare tickets.csv --drop leakage .",
        "the same as training row 5",
        "21 more",
        "By kind Value exact 20",
        "Share 0.114",
        "Accuracy 0.982",
        "invoice 4 61 15.2",
        "Bezahlung 0 20 –",
        "Interval 0.69, 0.77",
        "Certain yes",
        "Pool not covered no unlabelled file was given",
        "Could not be finished: The language model cannot be read.",
        "What task asks, in one line.",
        "2 of 451 rows have no label and are left out",
        "fewtune check data/tickets.csv --test data/tickets_test.csv",
        "12 s",
    ],
)
def test_full_page_says(page: Page, said: str) -> None:
    assert said in page.text


def test_rows_beyond_those_of_the_page_are_counted() -> None:
    made = results.full()
    made["findings"][0]["rows"] = [results.row(number, "test") for number in range(1, 501)]
    text = Page(render(made)).text
    assert "The other 300 are in audit.json." in text
    assert "190 more" in text


def test_many_classes_show_both_ends() -> None:
    made = results.full()
    made["classes"] = [{"name": f"class {place:03d}", "rows": 400 - place} for place in range(100)]
    page = Page(render(made))
    assert "the 15 largest and 15 smallest of 100 classes" in page.text
    assert "class 000" in page.text
    assert "class 099" in page.text
    assert "class 050" not in page.text


@pytest.mark.parametrize("made", [results.full(), results.clean()])
def test_page_asks_the_network_for_nothing(made: dict[str, Any]) -> None:
    asks_the_network_for_nothing(Page(render(made)))


def test_structure_for_screen_readers(page: Page) -> None:
    is_clear_to_screen_readers(page)


def test_commands_in_sentences_stand_out_and_stay_text() -> None:
    assert coded("Run `a <b>` or `c`.") == "Run <code>a &lt;b&gt;</code> or <code>c</code>."
    assert coded("it`s <one>") == "it`s &lt;one&gt;"


def test_texts_of_rows_are_isolated(page: Page) -> None:
    for text in ("אני רוצה", "هل يمكنني"):
        assert re.search(rf'<bdi dir="auto" class="quote">{text}', page.source)


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: ascii(text[:24]))
def test_hostile_text_everywhere_stays_text(hostile: str, tmp_path: Path) -> None:
    kept = {"severity", "status", "part", "name", "check"}

    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {one: poison(held, one) for one, held in value.items()}
        if isinstance(value, list):
            return [poison(entry) for entry in value]
        return hostile if isinstance(value, str) and key not in kept else value

    made = poison(results.full())
    for entry in (*made["classes"], *made["checks"]):
        entry["name"] = hostile
    made["findings"][0]["numbers"] = {hostile: [{hostile: hostile}]}
    (tmp_path / "audit.json").write_text(json.dumps(made))
    source = rewrite_audit(tmp_path).read_text(encoding="utf-8")
    page = Page(source)
    has_no_markup_but_that_of(page, Page(render(results.full())))
    assert len(source) < 1_000_000


@pytest.mark.parametrize("change", ["absent", "null", "number", "string", "list", "object"])
def test_any_change_of_any_key_still_gives_a_page_or_says_it_is_damaged(change: str) -> None:
    values = {"null": None, "number": -1.5, "string": "x", "list": [1, [2]], "object": {"a": {"b": 1}}}
    for way in list(places(results.full())):
        made = results.full()
        *path, last = way
        holder: Any = made
        for key in path:
            holder = holder[key]
        if change == "absent":
            del holder[last]
        else:
            holder[last] = values[change]
        outermost = contextlib.suppress(StoreError) if len(way) == 1 else contextlib.nullcontext()
        with outermost:
            Page(render(made))


def test_audit_and_page_are_written_and_written_again(tmp_path: Path) -> None:
    page = write_audit(tmp_path / "a" / "b", results.full())
    assert json.loads((page.parent / "audit.json").read_text(encoding="utf-8")) == results.full()
    first = page.read_text(encoding="utf-8")
    page.unlink()
    assert rewrite_audit(page.parent).read_text(encoding="utf-8") == first


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 2, "verdict": {}}'])
def test_a_damaged_audit_says_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "audit.json").write_text(content)
    with pytest.raises(StoreError, match=r"fewtune check` again|Update fewtune"):
        rewrite_audit(tmp_path)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        write_audit(tmp_path / "a", results.clean())
