"""Read a page back: a strict parser, and what tests ask of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
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


def drawing(chart: object) -> ElementTree.Element:
    """An SVG as a tree; it is XML-clean or this raises."""
    return ElementTree.fromstring(str(chart))


def styled(chart: object, tag: str, class_: str) -> Iterator[ElementTree.Element]:
    """Elements of a chart that carry a class."""
    return (one for one in drawing(chart).iter(tag) if class_ in one.get("class", "").split())


def number(one: ElementTree.Element, name: str) -> float:
    return float(one.attrib[name])
