"""Small pieces that every chart is made of: a scale, an element, a frame with title and description.

Colours are CSS classes, never values, so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import math
import unicodedata
import zlib
from dataclasses import dataclass

from markupsafe import Markup, escape

GLYPH = 0.5
"""Mean width of a letter as a share of the font size, in the system fonts the page uses."""


@dataclass(frozen=True)
class Scale:
    """A straight line from data (`low`, `high`) to pixels (`start`, `end`)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value; values outside the data range are held at the edge."""
        held = min(max(value, self.low), self.high)
        return self.start + (held - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values inside the range, at most `most` of them."""
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / most))
        step = next(step * k for k in (1, 2, 2.5, 5, 10, 20) if (self.high - self.low) / (step * k) <= most - 1 + 1e-9)
        first = math.ceil(self.low / step - 1e-9)
        return [round(k * step, 10) for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def around(values: list[float], grain: float) -> tuple[float, float]:
    """The smallest range on multiples of `grain` that holds all values."""
    low, high = math.floor(min(values) / grain + 1e-9) * grain, math.ceil(max(values) / grain - 1e-9) * grain
    return (low, high) if high > low else (low, low + grain)


def element(tag: str, content: str = "", **attributes: str | float | None) -> Markup:
    """One SVG element; content is escaped unless it is markup; `class_` → `class`, `text_anchor` → `text-anchor`."""
    # Plain strings with each value escaped by hand: a page has thousands of these, Markup.format is slow.
    named = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items() if value is not None)
    written = "".join(f' {name}="{escape(_number(value))}"' for name, value in named)
    return Markup(f"<{tag}{written}>{escape(content)}</{tag}>")


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight stroke."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text(x: float, y: float, content: str, class_: str = "", anchor: str | None = None) -> Markup:
    """One line of text, baseline at `y`."""
    return element("text", content, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def path(points: list[tuple[float, float]], class_: str) -> Markup:
    """A line through points."""
    return element("path", d="M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_)


def dot(x: float, y: float, radius: float, class_: str, hint: str = "") -> Markup:
    """A filled circle that says its value when pointed at."""
    return element("circle", element("title", hint) if hint else "", cx=x, cy=y, r=radius, class_=class_)


def frame(body: list[Markup], *, width: float, height: float, title: str, description: str) -> Markup:
    """The drawing with the name and description that a screen reader speaks."""
    drawn = Markup().join(body)
    key = f"c{zlib.crc32(f'{title}{description}{width}{drawn}'.encode('utf-8', 'replace')):08x}"
    head = [element("title", title, id=f"{key}t"), element("desc", description, id=f"{key}d")]
    return Markup(
        '<svg viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-labelledby="{2}t {2}d">{3}</svg>'
    ).format(_number(width), _number(height), key, Markup().join([*head, drawn]))


def fit(label: str, width: float, size: float = 13) -> str:
    """`label`, shortened with an ellipsis when it would not fit `width` pixels."""
    room, used, label = width / size, 0.0, " ".join(label[:400].split())
    for position, letter in enumerate(label):
        used += 0.0 if unicodedata.combining(letter) else 1.0 if unicodedata.east_asian_width(letter) in "WF" else GLYPH
        if used > room:
            return label[: max(1, position - 1)].rstrip() + "…"
    return label


def _number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
