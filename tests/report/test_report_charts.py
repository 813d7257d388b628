from __future__ import annotations

import math

import pytest
from report_page import drawing, number, styled

from fewtune.report import charts
from fewtune.report.svg import Scale, around, fit
from fewtune.report.words import Range


def marks(*scores: float, chosen: int = 0) -> list[charts.Mark]:
    return [charts.Mark(f"c{i}", Range(s, s - 0.05, s + 0.05), i == chosen) for i, s in enumerate(scores)]


def share_scale(chart: object) -> Scale:
    """The scale as the axis of the drawing states it: read from tick labels and the grid lines above them."""
    below = [one for one in styled(chart, "text", "number") if one.get("text-anchor") == "middle"]
    ticks = [(float((one.text or "").split("\u00a0")[0]) / 100, number(one, "x")) for one in below]
    (low, start), (high, end) = min(ticks), max(ticks)
    return Scale(low, high, start, end)


@pytest.mark.parametrize("width", [720, 328])
def test_ladder_puts_dots_and_whiskers_where_the_axis_says(width: float) -> None:
    chart = charts.ladder(marks(0.2, 0.61, 0.842, chosen=2), 0.134, width)
    scale = share_scale(chart)
    for one, score in zip(styled(chart, "circle", "dot"), (0.2, 0.61, 0.842), strict=True):
        assert number(one, "cx") == pytest.approx(scale(score), abs=0.02)
    for one, score in zip(styled(chart, "line", "whisker"), (0.2, 0.61, 0.842), strict=True):
        assert number(one, "x1") == pytest.approx(scale(score - 0.05), abs=0.02)
        assert number(one, "x2") == pytest.approx(scale(score + 0.05), abs=0.02)
    (baseline,) = styled(chart, "line", "baseline")
    assert number(baseline, "x1") == pytest.approx(scale(0.134), abs=0.02)


@pytest.mark.parametrize("width", [720, 328])
def test_a_ladder_in_bits_is_drawn_to_its_own_axis(width: float) -> None:
    rows = [charts.Mark(f"c{i}", Range(s, s - 0.05, s + 0.05), i == 2) for i, s in enumerate((5.2, 1.61, 1.4))]
    chart = charts.ladder_in_bits([*rows, charts.Mark("c3", None, note="skipped")], width)
    below = [one for one in styled(chart, "text", "number") if one.get("text-anchor") == "middle"]
    ticks = [(float(one.text or ""), number(one, "x")) for one in below]
    (low, start), (high, end) = min(ticks), max(ticks)
    for one, score in zip(styled(chart, "circle", "dot"), (5.2, 1.61, 1.4), strict=True):
        along = start + (score - low) / (high - low) * (end - start)  # past the last tick the axis goes on
        assert number(one, "cx") == pytest.approx(along, abs=0.02)
    values = [one.text for one in styled(chart, "text", "number") if one.get("text-anchor") == "end"]
    assert values == ["5.200", "1.610", "1.400"]
    assert "%" not in str(chart)


@pytest.mark.parametrize("scores", [[0.5], [1.0, 1.0], [0.0003, 0.0004], [40.0, 900.0]])
def test_a_ladder_in_bits_of_any_size_has_an_axis(scores: list[float]) -> None:
    chart = charts.ladder_in_bits([charts.Mark("c", Range(s, s, s)) for s in scores], 720)
    assert 2 <= len([one for one in styled(chart, "text", "number") if one.get("text-anchor") == "middle"]) <= 12


def test_ladder_marks_the_winner_and_notes_the_skipped() -> None:
    rows = [*marks(0.5, 0.7, chosen=1), charts.Mark("c2", None, note="skipped")]
    chart = charts.ladder(rows, None, 720)
    assert [one.get("class") for one in styled(chart, "circle", "dot")] == ["dot", "dot chosen"]
    assert "skipped" in [one.text for one in drawing(chart).iter("text")]
    assert not list(styled(chart, "line", "baseline"))


def test_every_chart_has_a_title_and_a_description() -> None:
    curve = charts.Curve([(0, 2.0), (10, 1.0)], [(0, 2.0), (10, 1.4)], 10)
    drawn = [
        charts.ladder(marks(0.5), 0.4, 720),
        charts.class_scores(marks(0.5), 720),
        charts.shares([("a", 0.7)], 720, "Shares"),
        charts.confusion([[3, 1], [0, 2]], ["a", "b"], 720),
        charts.reliability([charts.Bin(9, 0.4, Range(0.5, 0.2, 0.8))], 400),
        charts.losses([curve], 328, "LoRA"),
        charts.learning_curve([(50, Range(0.5, 0.4, 0.6))], None, 720),
    ]
    for chart in drawn:
        root = drawing(chart)
        assert root.get("role") == "img"
        named = {one.get("id"): one.text for one in root.iter() if one.get("id")}
        assert all(named[key] for key in root.attrib["aria-labelledby"].split())


@pytest.mark.parametrize("scores", [[0.5], [0.0, 1.0], [0.4999, 0.5]])
@pytest.mark.parametrize("width", [720, 328])
def test_nothing_is_drawn_outside_the_frame(scores: list[float], width: float) -> None:
    chart = charts.ladder([charts.Mark("c", Range(s, max(0, s - 0.1), min(1, s + 0.1))) for s in scores], 0.5, width)
    for one in drawing(chart).iter():
        assert all(-0.01 <= number(one, key) <= width + 0.01 for key in ("x", "cx", "x1", "x2") if key in one.attrib)


def test_confusion_counts_tones_and_places() -> None:
    chart = charts.confusion([[8, 2], [0, 5]], ["yes", "no"], 720)
    texts = [one for one in drawing(chart).iter("text") if "cell-text" in one.get("class", "")]
    assert [one.text for one in texts] == ["8", "2", "5"]
    assert [one.get("class", "").split()[1] for one in texts] == ["hit5", "miss2", "hit5"]
    assert number(texts[0], "y") == number(texts[1], "y") < number(texts[2], "y")
    assert number(texts[0], "x") < number(texts[1], "x") == number(texts[2], "x")
    assert len(list(styled(chart, "rect", "empty"))) == 1


def test_reliability_places_bins_by_confidence_and_truth() -> None:
    bins = [charts.Bin(100, 0.25, Range(0.5, 0.25, 0.75)), charts.Bin(4, 0.75, Range(0.75, 0.5, 1.0))]
    chart = charts.reliability(bins, 400)
    first, second = styled(chart, "circle", "dot")
    across = share_scale(chart)
    assert [number(first, "cx"), number(second, "cx")] == pytest.approx([across(0.25), across(0.75)], abs=0.02)
    (diagonal,) = styled(chart, "line", "baseline")
    # The second bin is exactly true, so it lies on the diagonal; the first lies above it.
    slope = (number(diagonal, "y2") - number(diagonal, "y1")) / (number(diagonal, "x2") - number(diagonal, "x1"))
    on_line = [number(diagonal, "y1") + slope * (number(dot, "cx") - number(diagonal, "x1")) for dot in (first, second)]
    assert number(second, "cy") == pytest.approx(on_line[1], abs=0.05)
    assert number(first, "cy") < on_line[0] - 20
    assert number(first, "r") > number(second, "r")


def test_losses_mark_the_kept_step_on_the_validation_line() -> None:
    curve = charts.Curve([(0, 2.0), (50, 1.0), (100, 0.5)], [(0, 2.0), (50, 1.2), (100, 1.6)], 50)
    chart = charts.losses([curve], 328, "LoRA")
    (line,) = styled(chart, "path", "validation")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["d"][1:].split("L")]
    kept = next(one for one in styled(chart, "circle", "kept") if one.find("title") is not None)
    assert (number(kept, "cx"), number(kept, "cy")) == pytest.approx(points[1], abs=0.06)
    assert points[1][1] == max(y for _, y in points), "the lowest loss is the lowest point: y grows downward"


@pytest.mark.parametrize("loss", [0.0, 1e-9, 1e12])
def test_losses_of_any_size_draw(loss: float) -> None:
    drawing(charts.losses([charts.Curve([(0, loss)], [], None)], 328, "x"))
    drawing(charts.losses([], 328, "x"))


def test_long_curves_are_thinned_but_keep_their_ends() -> None:
    points = [(float(i), math.exp(-i / 9000)) for i in range(20_000)]
    (line,) = styled(charts.losses([charts.Curve(points, [], None)], 328, "x"), "path", "train")
    kept = line.attrib["d"].split("L")
    assert len(kept) <= charts.MOST_POINTS + 1
    assert float(kept[-1].split(",")[0]) == pytest.approx(318, abs=0.1)


def test_learning_curve_shows_the_forecast_hollow_and_to_scale() -> None:
    points = [(100.0, Range(0.6, 0.5, 0.7)), (200.0, Range(0.7, 0.62, 0.78))]
    chart = charts.learning_curve(points, (400.0, Range(0.8, 0.7, 0.9)), 720)
    dots = list(styled(chart, "circle", "dot"))
    xs = [number(one, "cx") for one in dots]
    assert [one.get("class") for one in dots] == ["dot chosen", "dot chosen", "dot hollow"]
    assert xs[2] - xs[1] == pytest.approx(2 * (xs[1] - xs[0]), abs=0.05)
    assert len(list(styled(chart, "path", "ahead"))) == 1
    assert not list(styled(charts.learning_curve(points, None, 720), "path", "ahead"))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.3), (0.5, 0.6), (0, 954), (0, 2.6), (0, 1e-6), (0, 1e9)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    ticks = Scale(low, high, 0, 100).ticks(6)
    assert 2 <= len(ticks) <= 6 + 1
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


def test_around_rounds_outward_and_is_never_empty() -> None:
    assert around([0.13, 0.881], 0.1) == pytest.approx((0.1, 0.9))
    assert around([0.5], 0.1) == pytest.approx((0.5, 0.6))


def test_fit_shortens_by_width_not_by_letters() -> None:
    assert fit("short", 200) == "short"
    assert fit("界" * 40, 130) == "界" * 9 + "…"
    assert len(fit("x" * 1_000_000, 130)) < 30


def test_hostile_labels_stay_text() -> None:
    label = '"><script>alert(1)</script>'
    chart = charts.confusion([[1]], [label], 720)
    assert "<script" not in str(chart)
    assert drawing(chart).find(".//script") is None


def test_points_that_are_no_numbers_are_left_out() -> None:
    assert charts.points_of([0, 1, 2, 3], [2.0, None, math.nan, 1.0]) == [(0, 2.0), (3, 1.0)]
    assert charts.points_of(None, [1]) == []
