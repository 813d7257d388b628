"""`result.json` → one HTML page that asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fewtune.errors import StoreError
from fewtune.report.sections import base, decision, evidence, rows, training
from fewtune.report.store import check_format, read_result, write_whole
from fewtune.report.words import count


@dataclass(frozen=True)
class Section:
    """One part of the page: where it is drawn, what it is called, what it shows."""

    id: str
    title: str
    short: str
    """In the list of contents."""
    work_out: Callable[[Mapping[str, Any]], base.Section]

    @property
    def template(self) -> str:
        """The template of the same name."""
        return f"{self.id}.html"


SECTIONS = (
    Section("next", "What to do next", "What to do next", decision.advice),
    Section("ladder", "What was tried", "What was tried", decision.ladder),
    Section("choice", "How the choice was made", "How it was chosen", decision.choice),
    Section("test", "The test file", "The test file", evidence.test),
    Section("classes", "Class by class", "Class by class", evidence.classes),
    Section("confusion", "What it mixes up", "What it mixes up", evidence.confusion),
    Section("calibration", "How far to trust its confidence", "Its confidence", evidence.calibration),
    Section("overfitting", "Did it learn by heart?", "Learnt by heart?", training.overfitting),
    Section("learning", "Would more labels help?", "More labels?", training.learning),
    Section("suspects", "Labels to check", "Labels to check", rows.suspects),
    Section("unsure", "Where it hesitates", "Where it hesitates", rows.unsure),
    Section("data", "About the data", "The data", rows.data),
    Section("reproduce", "How to get these numbers again", "Reproduce", rows.reproduce),
)
"""In the order of the page: what to do comes before why."""


def render(result: Mapping[str, Any]) -> str:
    """The whole page.

    Parameters
    ----------
    result
        `result.json` as read, format 1 (see RESULT.md). Optional keys may be absent or null.

    Raises
    ------
    StoreError
        The result is of another format, or lacks a part that no report can do without.
    """
    whole = check_format(dict(result))
    shown = [
        {"id": one.id, "title": one.title, "short": one.short, "template": one.template, "view": view}
        for one in SECTIONS
        if (view := one.work_out(whole)) is not None
    ]
    script = _environment().loader.get_source(_environment(), "script.js")[0]  # type: ignore[union-attr]
    return (
        _environment()
        .get_template("page.html")
        .render(
            head=decision.headline(whole),
            sections=shown,
            script=Markup(script),
            # The policy lets this one script run, by its hash: a script smuggled in with a row would not.
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def write_report(folder: Path) -> Path:
    """Read `folder/result.json`, write `folder/report.html` beside it, and say where that is.

    Raises
    ------
    StoreError
        The result is absent, damaged or of an unknown format, or the page cannot be written. A page that was there
        before is left as it was.
    """
    result = read_result(folder)
    try:
        page = render(result)
    except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise StoreError(
            f"{Path(folder) / 'result.json'} is damaged: {type(error).__name__}: {error}. "
            "Run `fewtune fit` again with the same folder: finished runs are not computed twice."
        ) from error
    target = Path(folder) / "report.html"
    write_whole(target, page)
    return target


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fewtune.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = count
    environment.globals["m"] = environment.get_template("macros.html").module
    return environment
