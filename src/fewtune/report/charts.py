"""The charts of the report, one function each, as inline SVG.

Every function takes plain values and a `width` in pixels, and draws text at its true size: the page holds a wide and a
narrow drawing of each chart and shows the one that fits, so that labels stay readable on a phone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fewtune.report.svg import Scale, around, dot, element, fit, frame, line, path, text
from fewtune.report.words import Range, finite, interval, share

NARROW = 480
"""Below this width labels go above their row."""
HEAT_STEPS = 5
MOST_POINTS = 160
"""A loss curve is thinned to this many points: more cannot be seen."""


@dataclass(frozen=True)
class Unit:
    """How values are written along an axis and beside a dot."""

    value: Callable[[float], str]
    tick: Callable[[float], str]
    between: Callable[[Range], str]


SHARE = Unit(share, lambda value: share(value, 0), interval)
BITS = Unit(lambda value: f"{value:.3f}", lambda value: f"{value:g}", lambda found: f"{found.low:.3f}–{found.high:.3f}")


@dataclass(frozen=True)
class Mark:
    """One row of a dot plot."""

    label: str
    score: Range | None
    chosen: bool = False
    note: str = ""
    """Shown in place of a score that is absent."""


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram."""

    rows: int
    confidence: float
    accuracy: Range


@dataclass(frozen=True)
class Curve:
    """The losses of one training run, as (step, loss)."""

    train: list[tuple[float, float]]
    validation: list[tuple[float, float]]
    best_step: float | None = None


def ladder(marks: Sequence[Mark], baseline: float | None, width: float) -> Markup:
    """A dot and its interval for each rung, the winner marked, a line where guessing the largest class stands."""
    seen = [bound for mark in marks if mark.score for bound in (mark.score.low, mark.score.high)]
    held = [*seen, *([] if baseline is None else [baseline])] or [0.0, 1.0]
    low, high = around(held, 0.2 if max(held) - min(held) > 0.4 else 0.1)
    winner = next((mark for mark in marks if mark.chosen and mark.score), None)
    told = f" {winner.label} was chosen: {share(winner.score.mean)}." if winner and winner.score else ""
    return _dots(
        marks,
        (max(0.0, low), min(1.0, high)),
        width,
        title="Accuracy of each candidate",
        description=f"{len(marks)} candidates from the simplest to the most elaborate, each with its interval.{told}",
        baseline=baseline,
    )


def ladder_in_bits(marks: Sequence[Mark], width: float) -> Markup:
    """The same where texts are written: bits per byte, on an axis that need not begin at nothing."""
    seen = [bound for mark in marks if mark.score for bound in (mark.score.low, mark.score.high)] or [0.0, 1.0]
    spread = max(seen) - min(seen)
    grain = next(size for size in (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, float("inf")) if spread <= 8 * size)
    low, high = around(seen, min(grain, 10.0))
    winner = next((mark for mark in marks if mark.chosen and mark.score), None)
    told = f" {winner.label} was chosen: {BITS.value(winner.score.mean)}." if winner and winner.score else ""
    return _dots(
        marks,
        (max(0.0, low), high),
        width,
        title="Bits per byte of each candidate",
        description=f"{len(marks)} candidates from the simplest to the most elaborate, each with its interval.{told}",
        unit=BITS,
    )


def class_scores(marks: Sequence[Mark], width: float) -> Markup:
    """F1 and its interval for each class."""
    description = "; ".join(f"{mark.label[:60]} {share(mark.score.mean, 0)}" for mark in marks if mark.score)
    return _dots(marks, (0.0, 1.0), width, title="F1 of each class", description=description + ".")


def _dots(
    marks: Sequence[Mark],
    bounds: tuple[float, float],
    width: float,
    *,
    title: str,
    description: str,
    baseline: float | None = None,
    unit: Unit = SHARE,
) -> Markup:
    """Rows of dots with intervals over a common scale."""
    narrow = width < NARROW
    label_width, value_width, pitch = (0.0, 0.0, 46.0) if narrow else (228.0, 62.0, 30.0)
    top = 6.0 if baseline is None else 24.0
    scale = Scale(*bounds, label_width + 8, width - value_width - 8)
    bottom = top + pitch * len(marks)
    # Bands come first: grid lines must run across them.
    bands = [top + pitch * place for place, mark in enumerate(marks) if mark.chosen]
    body = [element("rect", x=0, y=y, width=width, height=pitch, class_="band", rx=5) for y in bands]
    body += _grid(scale, top - 4, bottom, unit)
    if baseline is not None:
        x = scale(baseline)
        # Beside the axis the words would run into the next tick: they stand above, to whichever side has room.
        side = "start" if x < (scale.start + scale.end) / 2 else "end"
        name = text(x + (5 if side == "start" else -5), 11, f"largest class {share(baseline)}", "small", side)
        body += [line(x, 3, x, bottom, "baseline"), name]
    for position, mark in enumerate(marks):
        body += _dot_row(mark, scale, top + pitch * position, width, label_width, pitch, unit)
    return frame(body, width=width, height=bottom + 24, title=title, description=description)


def _dot_row(
    mark: Mark, scale: Scale, top: float, width: float, label_width: float, pitch: float, unit: Unit
) -> list[Markup]:
    narrow, tone = label_width == 0, "chosen" if mark.chosen else ""
    middle = top + (pitch - 15 if narrow else pitch / 2)
    body = list[Markup]()
    label = fit(mark.label, width - 80 if narrow else label_width - 16, 13.5 if mark.chosen else 13)
    body.append(
        text(
            8, top + 17 if narrow else middle + 4.5, label, f"on-grid {tone or ('' if mark.score else 'faint')}".strip()
        )
    )
    if mark.score is None:
        note = fit(mark.note, scale.end - scale.start - 8, 12)
        return [*body, text(scale.start + 4, middle + 4.5, note, "small")]
    score, value = mark.score, unit.value(mark.score.mean)
    body.append(text(width - 8, top + 17 if narrow else middle + 4.5, value, f"number {tone}".strip(), "end"))
    body.append(line(scale(score.low), middle, scale(score.high), middle, f"whisker {tone}".strip()))
    hint = f"{mark.label[:120]}: {value} ({unit.between(score)})"
    body.append(dot(scale(score.mean), middle, 6 if mark.chosen else 4.5, f"dot {tone}".strip(), hint))
    return body


def shares(rows: Sequence[tuple[str, float]], width: float, title: str) -> Markup:
    """A bar for each share of a whole."""
    return _bars([(label, value, share(value)) for label, value in rows], 1.0, width, title)


def sizes(rows: Sequence[tuple[str, float]], width: float, title: str) -> Markup:
    """A bar for each count, on a scale from nothing to the largest."""
    largest = max((value for _, value in rows), default=0.0) or 1.0
    return _bars([(label, value, f"{round(value):,}") for label, value in rows], largest, width, title)


def _bars(rows: Sequence[tuple[str, float, str]], longest: float, width: float, title: str) -> Markup:
    """(label, value, value in words) as a bar each."""
    label_width = 140.0 if width < NARROW else 228.0
    scale, body = Scale(0.0, longest, label_width, width - 64), list[Markup]()
    for position, (label, value, said) in enumerate(rows):
        y = 26.0 * position
        body.append(text(8, y + 17, fit(label, label_width - 16)))
        size = max(1.5, scale(value) - scale.start)
        body.append(element("rect", x=scale.start, y=y + 6, width=size, height=14, rx=2, class_="bar"))
        body.append(text(scale.start + size + 8, y + 17, said, "number"))
    told = "; ".join(f"{label[:60]} {said}" for label, _, said in rows)
    return frame(body, width=width, height=26 * len(rows) + 4, title=title, description=told)


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str], width: float) -> Markup:
    """Counts as heat by share of the given label: right answers in one hue, confusions in another."""
    size, narrow = len(names), width < NARROW
    longest = max((len(name) for name in names), default=0)
    label_width = min(112.0 if narrow else 190.0, 34 + 7.0 * longest)
    top = 22.0 if narrow or size > 20 else 96.0
    # The last slanted label leans out of its column: it needs room to the right.
    cell = min(46.0, (width - label_width - (2 if top < 30 else 62)) / max(size, 1))
    body = list[Markup]()
    for position, name in enumerate(names):
        key = f"{position + 1}" if top < 30 else ""
        middle = label_width + cell * (position + 0.5)
        body.append(text(middle, 15, key, "small", "middle") if key else _slanted(middle, top - 8, fit(name, 118, 12)))
        label = fit(f"{key} {name}".strip(), label_width - 10, 11.5 if narrow else 12.5)
        body.append(text(label_width - 8, top + cell * (position + 0.5) + 4, label, "row-label", "end"))
    for given, row in enumerate(matrix):
        total = max(1, sum(row))
        for predicted, rows in enumerate(row):
            hint = f"{names[given][:80]} → {names[predicted][:80]}: {rows} of {sum(row)}"
            x, y = label_width + cell * predicted, top + cell * given
            body.append(_cell(x, y, cell, rows, rows / total, given == predicted, hint))
    wide = label_width + cell * size + (2 if top < 30 else 62)
    return frame(
        body,
        width=min(width, wide),
        height=top + cell * size + 4,
        title="Given labels against predicted labels",
        description="Rows are given labels, columns predicted ones. The table of confused pairs holds the same counts.",
    )


def _slanted(x: float, y: float, label: str) -> Markup:
    return element("text", label, class_="small", transform=f"translate({x:.1f} {y:.1f}) rotate(-40)")


def _cell(x: float, y: float, side: float, rows: int, part: float, right: bool, hint: str) -> Markup:
    # Steps, not a continuous tint: each step's text colour is checked for contrast in both colour schemes.
    step = 0 if rows == 0 else min(HEAT_STEPS, 1 + int(part * HEAT_STEPS))
    tone = f"{'hit' if right else 'miss'}{step}" if step else "empty"
    square = element("rect", x=x + 1, y=y + 1, width=side - 2, height=side - 2, rx=2, class_=f"cell {tone}")
    number = text(x + side / 2, y + side / 2 + 4, str(rows), f"cell-text {tone}", "middle") if rows else Markup()
    return element("g", Markup().join([element("title", hint), square, number]))


def reliability(bins: Sequence[Bin], width: float) -> Markup:
    """Stated confidence against the share that was right, with the interval of each bin."""
    left, bottom = 62.0, width - 44.0
    across, up = Scale(0.0, 1.0, left, width - 12), Scale(0.0, 1.0, bottom, 12.0)
    body = [*_grid(across, 12, bottom), *_share_rows(up, left, width - 12)]
    body.append(line(across(0), up(0), across(1), up(1), "baseline"))
    largest = max((one.rows for one in bins), default=1)
    for one in bins:
        x = across(one.confidence)
        body.append(line(x, up(one.accuracy.low), x, up(one.accuracy.high), "whisker chosen"))
        hint = f"{one.rows} rows, stated {share(one.confidence)}, right {share(one.accuracy.mean)}"
        body.append(dot(x, up(one.accuracy.mean), 3 + 4 * (one.rows / max(largest, 1)) ** 0.5, "dot chosen", hint))
    body.append(text((left + width - 12) / 2, width - 8, "confidence the model states", "small", "middle"))
    body.append(_upright(12, (12 + bottom) / 2, "share that is right"))
    told = "; ".join(f"stated {share(one.confidence, 0)}, right {share(one.accuracy.mean, 0)}" for one in bins)
    return frame(body, width=width, height=width, title="Confidence against truth", description=told)


def losses(curves: Sequence[Curve], width: float, title: str) -> Markup:
    """Training and validation loss over steps, one pair of lines a split, the kept step marked."""
    height, left = round(width * 0.62), 38.0
    points = [point for curve in curves for point in (*curve.train, *curve.validation)]
    last, highest = max([0.0, *(x for x, _ in points)]) or 1.0, max([0.0, *(y for _, y in points)]) or 1.0
    across, up = Scale(0.0, last, left, width - 10), Scale(0.0, highest * 1.05, height - 40.0, 26.0)
    body = [line(left, up(tick), width - 10, up(tick), "grid") for tick in up.ticks(5)]
    body += [text(left - 6, up(tick) + 4, f"{tick:g}", "small number", "end") for tick in up.ticks(5)]
    body += [text(across(tick), height - 23, f"{tick:,g}", "small number", "middle") for tick in across.ticks(5)]
    for kind in ("train", "validation"):
        for curve in curves:
            drawn = [(across(x), up(y)) for x, y in _thin(getattr(curve, kind))]
            body.append(path(drawn, f"curve {kind}") if drawn else Markup())
    for curve in curves:
        kept = next((y for x, y in curve.validation if x == curve.best_step), None)
        if kept is not None and curve.best_step is not None:
            hint = f"kept: step {curve.best_step:g}, validation loss {kept:.3f}"
            body.append(dot(across(curve.best_step), up(kept), 3.5, "dot kept", hint))
    body += [text(left, 13, "training", "key train"), text(left + 64, 13, "validation", "key validation")]
    if any(curve.best_step is not None for curve in curves):
        body += [dot(left + 144, 9, 3.5, "dot kept"), text(left + 153, 13, "step kept", "small")]
    body.append(text((left + width - 10) / 2, height - 5, "training steps", "small", "middle"))
    told = f"{len(curves)} runs. Highest loss {highest:.2f}, last step {last:g}."
    return frame(body, width=width, height=height, title=f"Loss while training {title}", description=told)


def learning_curve(points: Sequence[tuple[float, Range]], forecast: tuple[float, Range] | None, width: float) -> Markup:
    """Accuracy against labelled rows with intervals; the forecast is dashed and hollow."""
    height, left = (260.0 if width < NARROW else 300.0), 48.0
    every = [*points, *([forecast] if forecast else [])]
    bounds = around([edge for _, score in every for edge in (score.low, score.high)], 0.1)
    across = Scale(0.0, max((rows for rows, _ in every), default=1.0) * 1.06 or 1.0, left, width - 12)
    up = Scale(*bounds, height - 44, 14.0)
    body = _share_rows(up, left, width - 12)
    for tick in across.ticks(5 if width < NARROW else 7):
        body.append(text(across(tick), height - 27, f"{tick:,g}", "small number", "middle"))
    upper = [(across(rows), up(score.high)) for rows, score in points]
    lower = [(across(rows), up(score.low)) for rows, score in reversed(points)]
    body.append(path([*upper, *lower], "area") if len(points) > 1 else Markup())
    body.append(path([(across(rows), up(score.mean)) for rows, score in points], "curve main") if points else Markup())
    if forecast and points:
        body.append(path([(across(rows), up(score.mean)) for rows, score in (points[-1], forecast)], "curve ahead"))
    for rows, score in every:
        ahead = forecast is not None and (rows, score) == forecast
        hint = f"{'forecast, ' if ahead else ''}{rows:,g} rows: {share(score.mean)} ({interval(score)})"
        whisker = "whisker" if ahead else "whisker chosen"
        body.append(line(across(rows), up(score.low), across(rows), up(score.high), whisker))
        body.append(dot(across(rows), up(score.mean), 5, "dot hollow" if ahead else "dot chosen", hint))
    if forecast:
        x, side = across(forecast[0]), "end"
        body.append(text(x - 10, up(forecast[1].mean) - 9, f"forecast {share(forecast[1].mean)}", "small", side))
    body.append(text((left + width - 12) / 2, height - 7, "labelled rows", "small", "middle"))
    told = "; ".join(f"{rows:g} rows {share(score.mean)}" for rows, score in every)
    return frame(body, width=width, height=height, title="Accuracy against labelled rows", description=told)


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Every k-th point, and always the last."""
    stride = -(-len(points) // MOST_POINTS) or 1
    return [*points[:-1:stride], *points[-1:]]


def _grid(scale: Scale, top: float, bottom: float, unit: Unit = SHARE) -> list[Markup]:
    """Upright grid lines with values below."""
    ticks = scale.ticks(5 if scale.end - scale.start < 340 else 9)
    lines = [line(scale(tick), top, scale(tick), bottom, "grid") for tick in ticks]
    return lines + [text(scale(tick), bottom + 17, unit.tick(tick), "small number", "middle") for tick in ticks]


def _share_rows(scale: Scale, left: float, right: float) -> list[Markup]:
    """Level grid lines with per cent to the left."""
    lines = [line(left, scale(tick), right, scale(tick), "grid") for tick in scale.ticks()]
    return lines + [text(left - 7, scale(tick) + 4, share(tick, 0), "small number", "end") for tick in scale.ticks()]


def _upright(x: float, y: float, label: str) -> Markup:
    return element(
        "text", label, class_="small", text_anchor="middle", transform=f"translate({x:.1f} {y:.1f}) rotate(-90)"
    )


def points_of(steps: object, values: object) -> list[tuple[float, float]]:
    """Steps and losses paired; pairs with a value that is no finite number are left out."""
    if not isinstance(steps, list) or not isinstance(values, list):
        return []
    paired = ((finite(step), finite(value)) for step, value in zip(steps, values, strict=False))
    return [(step, value) for step, value in paired if step is not None and value is not None]
