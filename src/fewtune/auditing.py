"""`fewtune check`, end to end: the ground is laid, every check looks at it, and what is found becomes an `Audit`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fewtune.audit.base import SEVERITIES, Check, Finding, Ground, Need, Predictions
from fewtune.audit.registry import CHECKS
from fewtune.data.base import Dataset
from fewtune.study.progress import Progress

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

FORMAT = 1
LACKING: dict[Need, str] = {
    "test": "no test file was given (--test FILE)",
    "unlabelled": "no unlabelled file was given (--unlabelled FILE)",
    "about": "the task was not described (--about TEXT)",
    "vectors": "no backbone was opened (--no-backbone)",
    "tokens": "no backbone was opened (--no-backbone)",
    "predictions": "no model was fitted (--no-model), or the rows have no labels",
}


@dataclass(frozen=True)
class Audit:
    """What was found, and what was not looked at."""

    findings: tuple[Finding, ...]
    """The gravest first."""
    ran: tuple[str, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    """Check → why it was not run."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Check → seconds."""

    @property
    def blocked(self) -> bool:
        """Whether something found would invalidate a result."""
        return any(finding.severity == "blocks" for finding in self.findings)


def audit(ground: Ground, *, checks: Sequence[type[Check]] = CHECKS, progress: Progress | None = None) -> Audit:
    """Ask every check whose needs are met."""
    progress = progress or Progress()
    findings: list[Finding] = []
    ran, skipped, seconds = [], {}, {}
    progress.start("Looking at the data", len(checks))
    for check in (kind() for kind in checks):
        lacking = sorted(LACKING[need] for need in check.needs if not ground.has(need))
        if lacking:
            skipped[check.name] = "; ".join(lacking)
        else:
            started = time.perf_counter()
            findings += check.run(ground)
            seconds[check.name] = round(time.perf_counter() - started, 3)
            ran.append(check.name)
        progress.advance()
    progress.finish()
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))  # stable: checks keep their order
    return Audit(tuple(findings), tuple(ran), skipped, seconds)


def lay(
    train: Dataset,
    *,
    test: Dataset | None = None,
    unlabelled: Dataset | None = None,
    about: str | None = None,
    encoder: Encoder | None = None,
    model: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ground:
    """The ground for checks: rows, and ways to ask a backbone and a fitted model about them.

    Parameters
    ----------
    encoder : None leaves out every check that needs a backbone.
    model : False leaves out every check that needs predictions.
    """
    labelled = all(example.label is not None for example in train) and len(train.classes) > 1
    return Ground(
        train,
        test,
        unlabelled,
        about,
        seed,
        embed=None if encoder is None else encoder.embed,
        count_tokens=None if encoder is None else encoder.full_lengths,
        most_tokens=None if encoder is None else encoder.max_tokens,
        predict=(lambda: predictions(train, encoder, seed=seed, progress=progress))
        if encoder is not None and model and labelled
        else None,
    )


def predictions(train: Dataset, encoder: Encoder, *, seed: int = 0, progress: Progress | None = None) -> Predictions:
    """Out-of-fold probabilities of a probe, judged by the one evaluator on the splits a fit would take."""
    from fewtune.audit.duplicates import groups_of
    from fewtune.fitting import choose_splits
    from fewtune.methods.probe import Probe
    from fewtune.recipe import Recipe
    from fewtune.study.evaluator import Evaluator
    from fewtune.study.settings import Settings
    from fewtune.tune.run import Context

    context = Context(train, {encoder.name: encoder}, groups_of(train))
    splits = choose_splits(context, Settings(seed=seed))
    oof = Evaluator(context, splits, progress=progress, seed=seed).judge(Recipe(Probe(), encoder.name)).oof
    return Predictions(oof.labels_N, oof.mean_probs_NC)


def to_json(found: Audit, ground: Ground) -> dict[str, Any]:
    """`audit.json`: every finding with all its rows."""
    return {
        "format": FORMAT,
        "task": ground.train.task,
        "blocked": found.blocked,
        "parts": {part: {"source": data.source, "rows": len(data)} for part, data in ground.parts},
        "fingerprint": ground.train.fingerprint,
        "classes": ground.train.class_sizes,
        "notes": {part: list(data.notes) for part, data in ground.parts},
        "findings": [_finding(finding) for finding in found.findings],
        "ran": list(found.ran),
        "skipped": found.skipped,
        "seconds": found.seconds,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    rows = [
        {
            "file": row.part,
            "row": row.row,
            "id": row.id,
            "text": row.text,
            "label": row.label,
            "note": row.note,
            "score": row.score,
        }
        for row in finding.rows
    ]
    return {
        "check": finding.check,
        "severity": finding.severity,
        "what": finding.what,
        "reason": finding.reason,
        "do": finding.do,
        "numbers": dict(finding.numbers),
        "rows": rows,
    }
