"""Which checks look, and how: what is slow is asked ahead, one that fails is named, the gravest finding is first."""

from __future__ import annotations

import contextlib
import difflib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fewtune.audit.base import SEVERITIES, Check, Finding, Ground, Need
from fewtune.audit.registry import CHECKS
from fewtune.auditing.found import Audit
from fewtune.auditing.ground import LACKING
from fewtune.data.base import Task
from fewtune.errors import FewtuneError, UsageError
from fewtune.study.progress import Progress

EMBEDDED_AT_ONCE = 1000


def chosen(only: Sequence[str] | None = None, skip: Sequence[str] = ()) -> tuple[type[Check], ...]:
    """The checks to run, in the order of the report. Raises UsageError for a name that is none, or if none is left."""
    known = [check.name for check in CHECKS]
    for name in (*(only or ()), *skip):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"There is no check {name!r}. {hint}Checks: {', '.join(known)}.")
    left = tuple(check for check in CHECKS if (only is None or check.name in only) and check.name not in skip)
    if not left:
        raise UsageError("No check is left to run. Name one with --only, or skip fewer.")
    return left


def concerning(checks: Sequence[type[Check]], task: Task) -> tuple[type[Check], ...]:
    """Of all checks those that ask something of rows of a task: of preferences nothing about classes, and so on."""
    not_asked: set[Need] = {"labels", "predictions"} if task == "preference" else {"preferences"}
    return tuple(check for check in checks if not check.needs & not_asked)


def audit(
    ground: Ground,
    *,
    checks: Sequence[type[Check]] = CHECKS,
    progress: Progress | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Audit:
    """Ask every check whose needs are met. One that cannot be finished is named with the reason; the others go on."""
    progress = progress or Progress()
    findings: list[Finding] = []
    skipped, failed, seconds = {}, {}, {}
    to_run = []
    for check in checks:
        lacking = {ground.lacking.get(need, LACKING[need]) for need in check.needs if not ground.has(need)}
        if lacking:
            skipped[check.name] = "; ".join(sorted(lacking))
        else:
            to_run.append(check)
    _ask_ahead(ground, to_run, progress)
    for check in progress.through("Looking at the data", to_run):
        started = time.perf_counter()
        try:
            findings += list(check().run(ground))
            seconds[check.name] = round(time.perf_counter() - started, 3)
        except FewtuneError as error:
            failed[check.name] = str(error)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))  # stable: checks keep their order
    return Audit(ground, tuple(findings), tuple(checks), skipped, failed, seconds, settings or {})


def _ask_ahead(ground: Ground, checks: Sequence[type[Check]], progress: Progress) -> None:
    """What is slow is asked before the checks, part by part: each has a bar of its own."""
    needs = {need for check in checks for need in check.needs}
    if needs & {"vectors", "predictions"} and ground.embed is not None:
        parts = [data for _, data in ground.parts] if "vectors" in needs else [ground.train]
        texts = sorted({text for data in parts for text in data.texts}, key=len)  # of like length: little padding
        progress.start("Reading the texts once", len(texts))
        for start in range(0, len(texts), EMBEDDED_AT_ONCE):
            piece = texts[start : start + EMBEDDED_AT_ONCE]
            ground.embed(piece)
            progress.several(len(piece))
        progress.finish()
    if "predictions" in needs:
        with contextlib.suppress(FewtuneError):  # the checks that ask again will name it
            _ = ground.predictions
