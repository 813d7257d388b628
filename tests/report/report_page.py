"""Read a page back: a strict parser, what tests ask of it, and the promises that every page keeps."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

VOID = {"meta", "br", "link", "img", "input", "hr"}
ADDRESS_ATTRIBUTES = {"src", "srcset", "data", "action", "poster", "background", "xlink:href", "formaction"}


class Page(HTMLParser):
    """Well-formed HTML or an AssertionError; collects tags, ids and visible text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source, self.stack, self.texts = source, list[str](), list[str]()
        self.tags = list[tuple[str, dict[str, str | None]]]()
        self.feed(source)
        self.close()
        assert not self.stack, f"never closed: {self.stack}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in <{tag}>: {attrs}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack, f"</{tag}> closes nothing"
        opened = self.stack.pop()
        assert opened == tag, f"</{tag}> closes <{opened}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] not in {"style", "script"}:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """What a person reads, spaces of all kinds as one space."""
        return re.sub(r"\s+", " ", " ".join(self.texts))

    @property
    def sections(self) -> list[str]:
        """The sections by their ids, in order."""
        return [attrs["id"] or "" for tag, attrs in self.tags if tag == "section"]

    def values(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [value for _, attrs in self.tags if (value := attrs.get(name)) is not None]

    def addresses(self) -> list[str]:
        """Everything in the page that a browser could fetch or follow."""
        found = [f"{tag} {k}={v}" for tag, attrs in self.tags for k, v in attrs.items() if k in ADDRESS_ATTRIBUTES]
        found += [value for value in self.values("href") if not value.startswith("#")]
        styles = " ".join(re.findall(r"<style>(.*?)</style>", self.source, re.DOTALL)) + " ".join(self.values("style"))
        found += re.findall(r"@import|url\([^)]*\)|https?:", styles)
        banned = {"link", "iframe", "object", "embed", "img", "image", "use", "base", "form"}
        return found + [tag for tag, _ in self.tags if tag in banned]


def asks_the_network_for_nothing(page: Page) -> None:
    assert page.addresses() == []
    assert not re.search(r"https?://|\bsrc=|@import|url\(", page.source)
    (policy,) = [attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs]
    assert policy is not None
    assert policy.startswith("default-src 'none';")


def is_clear_to_screen_readers(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert sum(tag == "table" for tag, _ in page.tags) == sum(tag == "caption" for tag, _ in page.tags)
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")
    assert all(attrs.get("role") == "img" for tag, attrs in page.tags if tag == "svg")
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    pointed = [v[1:] for v in page.values("href")] + [k for v in page.values("aria-labelledby") for k in v.split()]
    assert set(pointed) <= set(ids)
    assert ("html", {"lang": "en"}) in page.tags


def has_no_markup_but_that_of(page: Page, clean: Page) -> None:
    """What rows hold has become text: no tag is new, no script and no handler."""
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in clean.tags}
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></script><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "مرحبا \u202e reversed",
    "👩‍👩‍👧 🎟️",
    "nul \x00 bell \x07 half \ud800 pair",
    "<!-- ",
    "x" * 1_048_576,
]
"""Texts of rows that would be markup."""


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of a nested value, in lists of the first entry only."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*way, key)
            yield from places(inner, (*way, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*way, 0))


def drawing(chart: object) -> ElementTree.Element:
    """An SVG as a tree; it is XML-clean or this raises."""
    return ElementTree.fromstring(str(chart))


def styled(chart: object, tag: str, class_: str) -> Iterator[ElementTree.Element]:
    """Elements of a chart that carry a class."""
    return (one for one in drawing(chart).iter(tag) if class_ in one.get("class", "").split())


def number(one: ElementTree.Element, name: str) -> float:
    return float(one.attrib[name])
