"""What every page shares: sections in order, one frame, one style, the scripts that the page's policy lets run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from fewtune.report.sections import base
from fewtune.report.words import count


@dataclass(frozen=True)
class Section:
    """One part of a page: where it is drawn, what it is called, what it shows."""

    id: str
    title: str
    short: str
    """In the list of contents."""
    work_out: Callable[[Mapping[str, Any]], base.Section]
    drawn_by: str = ""
    """Its template; the one of its own name where none is given."""

    @property
    def template(self) -> str:
        """The file of its template."""
        return f"{self.drawn_by or self.id}.html"


def draw(
    template: str,
    head: Mapping[str, Any],
    sections: Sequence[Section],
    whole: Mapping[str, Any],
    scripts: Sequence[str] = ("script.js",),
) -> str:
    """A whole page: its head, and every section that `whole` has something for, with `scripts` as one."""
    shown = [
        {"id": one.id, "title": one.title, "short": one.short, "template": one.template, "view": view}
        for one in sections
        if (view := one.work_out(whole)) is not None
    ]
    script = "".join(environment().loader.get_source(environment(), name)[0] for name in scripts)  # type: ignore[union-attr]
    return (
        environment()
        .get_template(template)
        .render(
            head=head,
            sections=shown,
            script=Markup(script),
            # The policy lets this one script run, by its hash: a script smuggled in with a row would not.
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def coded(sentence: str) -> Markup:
    """A sentence whose `commands` stand out; everything in it is escaped."""
    said = [escape(piece) for piece in sentence.split("`")]
    if len(said) % 2 == 0:  # a lone mark is a letter
        return escape(sentence)
    marked = [Markup("<code>{}</code>").format(piece) if place % 2 else piece for place, piece in enumerate(said)]
    return Markup().join(marked)


def kept(text: str) -> Markup:
    """A text as the value of an attribute, for scripts to give back unchanged: HTML makes one line end of two."""
    return Markup(str(escape(text)).replace("\r", "&#13;"))


@cache
def environment() -> Environment:
    """Templates of this package; everything printed is escaped."""
    made = Environment(
        loader=PackageLoader("fewtune.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["count"] = count
    made.filters["coded"] = coded
    made.filters["kept"] = kept
    made.globals["m"] = made.get_template("macros.html").module
    return made
