"""`result.json` → one HTML page that asks the network for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewtune.errors import StoreError
from fewtune.report.page import Section, draw
from fewtune.report.sections import beside, decision, evidence, preferred, rows, stages, tasks, training, written
from fewtune.report.store import check_format, read_result, write_whole

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
WRITTEN = (
    Section("next", "What to do next", "What to do next", decision.advice),
    Section("ladder", "What was tried", "What was tried", written.ladder, "written_ladder"),
    Section("tasks", "Task by task", "Task by task", tasks.tasks),
    Section("samples", "Answers side by side", "Answers", written.samples),
    Section("choice", "How the choice was made", "How it was chosen", decision.choice),
    Section("test", "The test file", "The test file", written.test, "written_test"),
    Section("forgetting", "What did it forget?", "Forgotten?", beside.forgetting),
    Section("memorisation", "Are training rows given back?", "Given back?", beside.memorisation),
    Section("overfitting", "Did it learn by heart?", "Learnt by heart?", training.overfitting),
    Section("data", "About the data", "The data", rows.data),
    Section("reproduce", "How to get these numbers again", "Reproduce", rows.reproduce),
)
"""The same where texts are written."""

STAGES = (
    Section("next", "What to do next", "What to do next", decision.advice),
    Section("table", "After each stage", "After each stage", stages.table, "stages_table"),
    Section("transfer", "Transfer and forgetting", "Transfer", stages.moved, "stages_transfer"),
    Section("each", "The stages", "The stages", stages.each, "stages_each"),
    Section("reproduce", "How to get these numbers again", "Reproduce", rows.reproduce),
)
"""Of several tunings, one begun where another ended."""

PREFERRED = (
    Section("next", "What to do next", "What to do next", decision.advice),
    Section("ladder", "What was tried", "What was tried", preferred.ladder, "preferred_ladder"),
    Section("samples", "Answers side by side", "Answers", written.samples),
    Section("choice", "How the choice was made", "How it was chosen", decision.choice),
    Section("test", "The test file", "The test file", preferred.test, "preferred_test"),
    Section("forgetting", "What did it forget?", "Forgotten?", beside.forgetting),
    Section("overfitting", "Did it learn by heart?", "Learnt by heart?", training.overfitting),
    Section("data", "About the data", "The data", rows.data),
    Section("reproduce", "How to get these numbers again", "Reproduce", rows.reproduce),
)
"""The same where preferences were learned."""


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
    if whole.get("task") == "stages":
        return draw("stages.html", stages.headline(whole), STAGES, whole)
    if whole.get("task") == "preference":
        return draw("preferred.html", preferred.headline(whole), PREFERRED, whole, ("script.js", "marks.js"))
    if whole.get("task", "classification") != "classification":
        return draw("written.html", written.headline(whole), WRITTEN, whole, ("script.js", "marks.js"))
    return draw("page.html", decision.headline(whole), SECTIONS, whole)


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
