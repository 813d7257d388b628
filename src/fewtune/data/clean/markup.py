"""HTML that stands in texts: tags, comments, scripts and entities.

A tag is only taken for markup where the text shows that it was HTML: a pair that closes, an attribute, a break glued to
words, a comment. "How do I centre a <div>?", "<3" and "List<String>" are left as they are.
"""

from __future__ import annotations

import html
import re
from html.entities import html5
from typing import ClassVar

from fewtune.data.clean.base import Cleaner


def _names(line: str) -> frozenset[str]:
    return frozenset(line.split())


BLOCK = _names("""address article aside blockquote body br center dd div dl dt fieldset figcaption figure footer form
    h1 h2 h3 h4 h5 h6 head header hr html li main nav ol option p pre script section select style table tbody tfoot
    thead title tr ul""")
"""A new line stands for these."""
CELL = _names("td th")
INLINE = _names("""a abbr acronym b big button cite code del em font i iframe img input ins kbd label link mark meta
    nobr o q s samp small span strike strong sub sup svg textarea tt u var video wbr""")
KNOWN = BLOCK | CELL | INLINE
VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "wbr"})
HIDDEN = ("script", "style", "head")
"""What stands between these is not for readers."""
LOST_AMPERSAND = {"#39;": "'", "#36;": "$"}
"""Entities whose `&` an export has eaten: `Oracle #39;s`."""

_TAG = re.compile(r"<(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]{0,9})(?P<rest>\s[^<>]{0,2000}|/)?>")
_ATTRIBUTE = re.compile(r"\s[a-zA-Z-]{1,30}\s?=\s?[\"'\w#]")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
_PAIR = re.compile(r"&#(\d{5}|[xX][0-9a-fA-F]{4});&#(\d{5}|[xX][0-9a-fA-F]{4});")
_LOST = re.compile(r" ?(?<![&\w])(#39;|#36;)(?=\w)")
_OPENING, _CLOSING = "\"`'(“‘", "\"`')”’?.,;:"
"""A tag between these is a word of the sentence."""
_DOCTYPE = re.compile(r"<(?:!DOCTYPE|\?xml)[^<>]{0,300}>", re.IGNORECASE)


class Markup(Cleaner):
    """HTML tags and entities."""

    name: ClassVar[str] = "markup"
    title: ClassVar[str] = "HTML tags and entities"

    def step(self, text: str) -> tuple[str, list[str]]:
        """Comments and scripts, then tags, then one layer of entities."""
        reasons: list[str] = []
        if "<" in text:
            text = _without_comments(text, reasons)
            text = _without_tags(text, reasons)
        if ";" in text and ("&" in text or "#" in text):
            text = _decoded(text, reasons)
        return text, reasons


def _without_comments(text: str, reasons: list[str]) -> str:
    shorter = _DOCTYPE.sub("", _cut(text, "<!--", "-->"))
    if shorter != text:
        reasons.append("HTML comments removed")
    return shorter


def _cut(text: str, opening: str, closing: str) -> str:
    """Without what stands from `opening` to the next `closing`; found by hand, for patterns go back and forth."""
    kept, here = [], 0
    while (start := text.find(opening, here)) >= 0 and (end := text.find(closing, start + len(opening))) >= 0:
        kept.append(text[here:start])
        here = end + len(closing)
    return "".join([*kept, text[here:]])


def _without_tags(text: str, reasons: list[str]) -> str:
    tags = [tag for tag in _TAG.finditer(text) if tag["name"].lower() in KNOWN]
    if not _is_html(text, tags):
        return text
    kept, here, hidden = [], 0, ""
    for tag in tags:
        name = tag["name"].lower()
        if hidden:
            if name == hidden and tag["close"]:
                here, hidden = tag.end(), ""
            continue
        kept += [text[here : tag.start()], "\n" if name in BLOCK else " " if name in CELL else ""]
        here = tag.end()
        if name in HIDDEN and not tag["close"] and re.search(f"</{name}", text[here:], re.IGNORECASE):
            hidden = name
    kept.append(text[here:])
    names = sorted({tag["name"].lower() for tag in tags})
    reasons.append(f"HTML tags removed: {', '.join(names[:6])}{' …' if len(names) > 6 else ''}")
    return _evened("".join(kept))


def _is_html(text: str, tags: list[re.Match[str]]) -> bool:
    """Whether the tags are markup rather than talked about."""
    opened: set[str] = set()
    for tag in tags:
        name = tag["name"].lower()
        if tag["close"] and name in opened:
            return True
        if tag["rest"] and _ATTRIBUTE.search(tag["rest"]):
            return True
        before, after = text[max(0, tag.start() - 1) : tag.start()], text[tag.end() : tag.end() + 1]
        if name in VOID | {"p"}:
            quoted = (not before or before in _OPENING) and (not after or after in _CLOSING)
            if not (quoted or (before.isspace() and (after.isspace() or after in _CLOSING))):
                return True
            if name in opened and before.isspace() and after.isspace():
                return True
        if not tag["close"]:
            opened.add(name)
    return False


def _evened(text: str) -> str:
    """Lines stripped, never two blank ones in a row: in HTML, line ends and indents mean nothing."""
    lines: list[str] = []
    for line in text.split("\n"):
        bare = line.strip(" \t\r")
        if bare or (lines and lines[-1]):
            lines.append(bare)
    return "\n".join(lines).strip("\n")


def _decoded(text: str, reasons: list[str]) -> str:
    found: dict[str, None] = {}

    def pair(match: re.Match[str]) -> str:
        high, low = (int(code[1:], 16) if code[0] in "xX" else int(code) for code in match.groups())
        if not (0xD800 <= high < 0xDC00 <= low < 0xE000):
            return match[0]
        found[match[0]] = None
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))

    def one(match: re.Match[str]) -> str:
        entity = match[0]
        if entity[1] != "#" and entity[1:] not in html5:
            return entity
        decoded = html.unescape(entity)
        if not decoded or "\ufffd" in decoded:
            return entity
        found[entity] = None
        return " " if decoded == "\xa0" else decoded

    def lost(match: re.Match[str]) -> str:
        found[match[1]] = None
        mark = LOST_AMPERSAND[match[1]]
        return mark if mark == "'" else match[0].replace(match[1], mark)

    text = _LOST.sub(lost, _ENTITY.sub(one, _PAIR.sub(pair, text)))
    if found:
        reasons.append(f"HTML entities decoded: {', '.join(list(found)[:6])}{' …' if len(found) > 6 else ''}")
    return text
