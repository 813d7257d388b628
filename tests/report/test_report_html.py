from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import report_results as results
from report_page import (
    HOSTILE,
    Page,
    asks_the_network_for_nothing,
    has_no_markup_but_that_of,
    is_clear_to_screen_readers,
    places,
)

import fewtune.report.html as html
from fewtune.errors import StoreError
from fewtune.report.html import SECTIONS, render, write_report


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(results.full()))


def test_all_sections_in_order(page: Page) -> None:
    assert page.sections == [one.id for one in SECTIONS]
    assert page.sections[:3] == ["next", "ladder", "choice"]


def test_the_verdict_is_the_heading(page: Page) -> None:
    (heading,) = re.findall(r"<h1>(.*?)</h1>", page.source)
    assert heading == results.full()["verdict"]["sentence"]


@pytest.mark.parametrize(
    "said",
    [
        "tickets.csv",
        "449 rows · 13 classes",
        "84.2 %",
        "80.3 – 88.1 % is the 95 % interval",
        "Of every 100 new texts like these, 80 to 88 are labelled right on average.",
        "better , +70.8 points (+66.7 to +74.9)",
        "Label 100 more tickets.",
        "13.4 %",
        "cannot be told apart from Probe with self-training +1.8 points (−0.2 to +3.8) about 2,900 rows in all",
        "worse than LoRA −3.5 points (−5.5 to −1.5)",
        "5 min 12 s",
        "22.7 M trained parameters",
        "2 runs restarted with another seed.",
        "skipped It would take about 41 min; 12 min of the 30 min allowed are left.",
        "71.0 %",
        "The simplest candidate within one standard error of the best is chosen.",
        "Contrastive tuning, then probe +2.1 ± 1.1 +6.0 ± 4.5 +2.3 ± 1.1 94 %",
        "examples/tickets_test.csv with 272 rows was read once",
        "It agrees with what cross-validation announced.",
        "3 of its rows are also in the training file. The score is that of the other rows;",
        "85.1 % 80.5 – 89.7 %",
        "Before correction the model was too sure of itself (temperature 1.31).",
        "from 7.1 % to 3.1 %",
        "at least 72 % confidence: it then answers 68 of 100 texts and leaves 32 to a person",
        "95.1 % are right (92.1 – 97.2 %)",
        "it learns rows by heart",
        "forecast 87.1 %",
        "24 rows where a model",
        "cancel subscription 97 %",
        "646 from examples/tickets_unlabelled.csv",
        "fewtune fit examples/tickets.csv --seed 0",
        "AMD EPYC 9R14, 2 cores, 16 GiB, cpu, float32",
        "torch 2.8.0",
        "26 min",
    ],
)
def test_full_page_says(page: Page, said: str) -> None:
    assert said in page.text


def test_the_interval_is_explained_once(page: Page) -> None:
    assert page.text.count("95 % interval") == 1


def test_confusion_numbers_add_up(page: Page) -> None:
    matrix = results.full()["winner"]["confusion"]
    right = sum(matrix[i][i] for i in range(13))
    assert f"{right} of 449 rows were labelled right" in page.text


def test_classes_stand_weakest_first(page: Page) -> None:
    section = page.source[page.source.index('<section id="classes"') :]
    chart = section[: section.index("</figure>")]
    scores = [float(value) for value in re.findall(r'class="number" text-anchor="end">([\d.]+)', chart)]
    assert len(scores) == 2 * 13
    assert scores[:13] == sorted(scores[:13])


@pytest.mark.parametrize("made", [results.full(), results.minimal(), results.of_classes(77), results.of_classes(2)])
def test_page_asks_the_network_for_nothing(made: dict[str, Any]) -> None:
    asks_the_network_for_nothing(Page(render(made)))


def test_policy_names_the_script_on_the_page(page: Page) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.source


def test_structure_for_screen_readers(page: Page) -> None:
    is_clear_to_screen_readers(page)


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: ascii(text[:24]))
def test_hostile_text_everywhere_stays_text(hostile: str, tmp_path: Path) -> None:
    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: value[key] if key in {"status", "name"} else poison(value[key]) for key in value}
        if isinstance(value, list):
            return [poison(entry) for entry in value]
        return hostile if isinstance(value, str) else value

    made = poison(small())
    for entry in (*made["classes"], *made["winner"]["per_class"]):
        entry["name"] = hostile
    made["format"] = 1
    (tmp_path / "result.json").write_text(json.dumps(made))
    source = write_report(tmp_path).read_text(encoding="utf-8")
    clean = Page(source)
    has_no_markup_but_that_of(clean, Page(render(results.full())))
    if "7 * 7" in hostile:
        assert "{{ 7 * 7 }}{% raw %}" in clean.text


def test_a_huge_cell_is_cut_and_its_length_stated() -> None:
    made = results.full()
    made["suspects"][0]["text"] = "word " * 200_000
    source = render(made)
    assert "1,000,000 characters in all" in Page(source).text
    assert len(source) < 400_000


def small() -> dict[str, Any]:
    """Every kind of part, few of each: quick to draw often."""
    made = results.of_classes(3)
    made["ladder"] = [results.rung(place) for place in (0, 5, 8)]
    made["ladder"][1]["curves"] = made["ladder"][1]["curves"][:1]
    made["winner"]["rung"] = 1
    made["suspects"], made["unsure"] = results.suspects(1), results.unsure(1)
    made["test"] = results.full()["test"] | {"per_class": made["winner"]["per_class"]}
    made["test"]["confusion"] = made["winner"]["confusion"]
    return made


NEEDED = {("format",), ("winner",), ("ladder",), ("verdict",)}
SMALL = small()
PLACES = [way for way in places(SMALL) if way not in NEEDED]


def draw_changed(way: tuple[Any, ...], change: str, parse: bool) -> None:
    made: Any = copy.deepcopy(SMALL)
    holder = made
    for step in way[:-1]:
        holder = holder[step]
    if change == "absent":
        del holder[way[-1]]
    else:
        holder[way[-1]] = {"null": None, "text": "?", "number": -3, "empty": []}[change]
    try:
        source = render(made)
        assert not parse or Page(source)
    except Exception as error:
        raise AssertionError(f"{change} at {way}") from error


def test_any_missing_key_still_gives_a_page() -> None:
    assert len(PLACES) > 130
    for place, way in enumerate(PLACES):
        draw_changed(way, "absent", parse=place % 8 == 0)


def test_any_mistyped_key_still_gives_a_page() -> None:
    for place, way in enumerate(PLACES[::2]):
        draw_changed(way, ("null", "text", "number", "empty")[place % 4], parse=place % 8 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["absent", "null", "text", "number", "empty"])
def test_any_change_of_any_key_still_gives_a_page(change: str) -> None:
    for way in PLACES:
        draw_changed(way, change, parse=True)


def test_minimal_page_leaves_out_what_it_does_not_know() -> None:
    page = Page(render(results.minimal()))
    assert page.sections == ["ladder", "reproduce"]
    assert "Of every 100 new texts like these, 38 to 78" in page.text
    assert not any(tag == "svg" for tag, _ in page.tags), "no score, no chart"
    for word in ("None", "nan", "undefined", "Undefined"):
        assert word not in page.text


def test_many_classes_show_the_confused_ones_in_charts_and_all_in_tables() -> None:
    page = Page(render(results.of_classes(77)))
    shown = re.search(r"The matrix holds the (\d+) classes .* the other (\d+) are left out", page.text)
    assert shown
    assert 2 <= int(shown[1]) <= 20
    assert int(shown[1]) + int(shown[2]) == 77
    assert "the 20 weakest classes" in page.text
    assert "All 77 classes in numbers" in page.text
    assert all(f"intent {place:02d}" in page.text for place in range(77))


def test_no_confusion_at_all() -> None:
    made = results.of_classes(30)
    made["winner"]["confusion"] = [[5 * (g == p) for p in range(30)] for g in range(30)]
    text = Page(render(made)).text
    assert "150 of 150 rows were labelled right" in text
    assert "No two classes were confused." in text


def test_no_threshold_reaches_the_target() -> None:
    made = results.full()
    made["winner"]["abstain"] = {"target": 0.95, "threshold": None, "reason": "best: 90%"}
    assert "No confidence is high enough to be 95 % right (best: 90%): have a person" in Page(render(made)).text


def test_a_test_score_outside_the_forecast_is_called_out() -> None:
    made = results.full()
    made["test"]["accuracy"] = results.around(0.6)
    assert "It lies below what cross-validation announced" in Page(render(made)).text


def test_report_is_written_whole_and_beside_the_result(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(results.full()))
    target = write_report(tmp_path)
    assert target == tmp_path / "report.html"
    assert target.read_text(encoding="utf-8") == render(results.full())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "result.json"]


def test_a_failed_write_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "result.json").write_text(json.dumps(results.minimal()))
    (tmp_path / "report.html").write_text("old")

    def full_disk(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(StoreError, match="No space left on device"):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "result.json"]


def test_a_result_that_trips_a_section_is_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(result: object) -> None:
        raise KeyError("surprise")

    (tmp_path / "result.json").write_text(json.dumps(results.minimal()))
    monkeypatch.setattr(html, "SECTIONS", (html.Section("next", "", "", trip),))
    with pytest.raises(StoreError, match="is damaged: KeyError: 'surprise'"):
        write_report(tmp_path)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_at_least_aa(page: Page, scheme: str) -> None:
    blocks = re.findall(r":root \{(.*?)\}", page.source, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))
    pairs = [(ink, paper) for ink in ("ink", "muted", "accent", "warm", "good", "bad") for paper in ("paper", "band")]
    pairs += [("ink", f"{hue}{step}") for hue in ("hit", "miss") for step in (1, 2, 3)]
    pairs += [("on-accent", f"{hue}{step}") for hue in ("hit", "miss") for step in (4, 5)]
    pairs += [("on-accent", "accent"), ("ink", "soft")]
    for ink, paper in pairs:
        light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{scheme}: {ink} on {paper}"


def test_leaked_rows_stand_beside_the_score_that_leaves_them_out() -> None:
    text = Page(render(results.full())).text
    assert "3 of its rows are also in the training file. The score is that of the other rows" in text
    assert text.index("Without leaks") < text.index("All rows")
    assert "nearly the same spelling" in text


def test_a_test_file_of_leaked_rows_alone_has_no_score() -> None:
    made = results.full()
    kept = {key: made["test"][key] for key in ("source", "rows", "read_at", "leaks", "with_leaks")}
    made["test"] = kept | {"scored": 0, "no_score": "every row of it also stands in the training file"}
    text = Page(render(made)).text
    assert "There is no test score: every row of it also stands in the training file." in text
    assert "Scores on the test file" not in text


def test_what_gives_the_label_away_stands_on_the_page() -> None:
    made = results.full()
    found = {"check": "artefacts", "severity": "blocks", "what": "'[x]' tells all.", "reason": "Bad.", "do": "Mend."}
    made["warnings"] = [found | {"rows": [1], "numbers": {}}]
    assert "'[x]' tells all. Bad. Mend." in Page(render(made)).text
