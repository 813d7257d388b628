"""`fewtune check`, end to end: the ground is laid, every check looks at it, and what is found becomes an `Audit`."""

from __future__ import annotations

import contextlib
import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.audit.base import SEVERITIES, Check, Finding, Ground, Need, Part, Predictions, Vectors
from fewtune.audit.registry import CHECKS
from fewtune.data.base import Dataset
from fewtune.data.clean.base import counted
from fewtune.data.read import read, read_like
from fewtune.data.test_lock import record
from fewtune.errors import FewtuneError, UsageError
from fewtune.study.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fewtune.backbones.encoder import Encoder
    from fewtune.tune.run import Context

FORMAT = 1
"""Of `audit.json`; see report/AUDIT.md."""
LACKING: dict[Need, str] = {
    "labels": "the training rows have no labels",
    "test": "no test file was given (--test FILE)",
    "unlabelled": "no unlabelled file was given (--unlabelled FILE)",
    "others": "no other file was given (--test FILE, --unlabelled FILE)",
    "about": "the task was not described (--about TEXT)",
    "vectors": "no backbone was opened (--no-backbone)",
    "tokens": "no backbone was opened (--no-backbone)",
    "predictions": "no model was fitted (--no-model)",
}
MODELS: frozenset[Need] = frozenset({"vectors", "tokens", "predictions"})
"""Needs that only a backbone can meet."""
MOST_LEARNT = 4000
"""Rows a fold's probe learns from: beyond, its opinion of a label hardly changes and its cost grows."""
FEW = 1000
EMBEDDED_AT_ONCE = 1000


@dataclass(frozen=True)
class Audit:
    """What was found, and what was not looked at."""

    ground: Ground
    """What was looked at; what a backbone and a model said of it is kept there."""
    findings: tuple[Finding, ...]
    """The gravest first."""
    checks: tuple[type[Check], ...]
    """All that were asked for, in the order of the report."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Check → why it was not run."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Check → why it could not be finished."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Check → seconds; those that ran and no others."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    total_seconds: float = 0.0
    """Of reading, asking the backbone and all checks."""

    @property
    def parts(self) -> dict[Part, Dataset]:
        """The rows that were looked at."""
        return dict(self.ground.parts)

    @property
    def blocked(self) -> bool:
        """Whether something found would invalidate a result."""
        return any(finding.severity == "blocks" for finding in self.findings)

    @property
    def unfinished(self) -> bool:
        """Whether a check could not be finished, or none of those asked for could be run."""
        return bool(self.failed) or (bool(self.checks) and len(self.skipped) == len(self.checks))

    @property
    def sentence(self) -> str:
        """The verdict."""
        if self.unfinished and not self.failed:
            return "Nothing was looked at: no check that was asked for could be run."
        said = [self._found()]
        if self.failed:
            said.append(f"{counted(len(self.failed), 'check')} could not be finished.")
        train = self.ground.train
        if train.task == "classification" and not train.classes:
            said.append("There are no labels to check.")
        return " ".join(said)

    def _found(self) -> str:
        blocks, warnings, _ = (sum(f.severity == severity for f in self.findings) for severity in SEVERITIES)
        if blocks:
            return f"{counted(blocks, 'thing')} would invalidate a result from these data."
        if warnings:
            verb = "is" if warnings == 1 else "are"
            return f"Nothing stands in the way, but {counted(warnings, 'thing')} {verb} worth mending."
        return "Nothing stands in the way."

    def to_json(self) -> dict[str, Any]:
        """`audit.json`: every finding with all its rows (report/AUDIT.md)."""
        from fewtune.report.result import hardware, versions

        train = self.ground.train
        return {
            "format": FORMAT,
            "task": train.task,
            "verdict": {"blocked": self.blocked, "sentence": self.sentence},
            "parts": {part: _part(data) for part, data in self.parts.items()},
            "classes": [{"name": name, "rows": rows} for name, rows in train.class_sizes.items()],
            "findings": [_finding(finding) for finding in self.findings],
            "checks": [self._check(check) for check in self.checks],
            "settings": dict(self.settings),
            "seconds": round(self.total_seconds, 2),
            "versions": versions(),
            "hardware": hardware() if self.settings.get("backbone") else {},
        }

    def write(self, folder: str | Path) -> Path:
        """Write `audit.json` and `audit.html` into `folder`; says where the page is. Raises StoreError."""
        from fewtune.report.audit_page import write_audit

        return write_audit(Path(folder), self.to_json())

    def _check(self, check: type[Check]) -> dict[str, Any]:
        name = check.name
        status = "skipped" if name in self.skipped else "failed" if name in self.failed else "ran"
        return {
            "name": name,
            "title": check.title,
            "question": check.question(),
            "status": status,
            "reason": self.skipped.get(name) or self.failed.get(name),
            "seconds": self.seconds.get(name),
            "findings": sum(finding.check == name for finding in self.findings),
        }


def check(
    train: object,
    *,
    test: object | None = None,
    unlabelled: object | None = None,
    text: str | None = None,
    label: str | None = None,
    group: str | None = None,
    pair: str | Sequence[str] | None = None,
    about: str | None = None,
    backbone: str | None = "default",
    model: bool = True,
    only: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Audit:
    """Ask whether data are fit to learn from. Nothing is changed.

    Parameters
    ----------
    train, test, unlabelled : path, Hub name, frame, dataset, list, tuple or mapping
        Whatever `fewtune.read` takes. The training rows need no labels: checks that need them are then left out.
    text, label, group : names of columns of the training rows; `label=""` says that there is none.
    pair : columns to join to the text, as in a fit; looked for in the other files too.
    about : the task in your own words, such as "support tickets by what the customer wants".
    backbone : None leaves out the checks that read texts with a model.
    model : False leaves out the checks that need a fitted model's opinion.
    only, skip : names of checks to run alone, to leave out.

    Returns
    -------
    Audit
        `findings` (the gravest first), `blocked`, `skipped`; `write(folder)` makes the page.

    Raises
    ------
    DataError, UsageError
        Rows that cannot be read; arguments that cannot be meant.
    BackboneError
        The backbone cannot be opened.
    """
    started = time.perf_counter()
    progress = progress or Progress()
    checks = chosen(only, skip)
    if isinstance(seed, bool) or seed < 0:
        raise UsageError(f"seed must be a whole number, 0 or more, not {seed!r}.")
    rows = _read_train(train, text, label, group, pair)
    others = {
        name: None
        if source is None
        else read_like(rows, source, labelled=None if name == "test" else False, group=group)
        for name, source in (("test", test), ("unlabelled", unlabelled))
    }
    others["test"] = _recorded(others["test"])
    wanted = backbone is not None and any(check.needs & MODELS for check in checks)
    encoder = _open(backbone, progress) if backbone is not None and wanted else None
    about = (about or "").strip() or None
    ground = lay(rows, **others, about=about, encoder=encoder, model=model, seed=seed, progress=progress)
    settings = {"seed": seed, "about": about, "backbone": encoder.name if encoder else None, "model": model}
    found = audit(ground, checks=checks, progress=progress, settings=settings)
    return replace(found, total_seconds=time.perf_counter() - started)


def _recorded(test: Dataset | None) -> Dataset | None:
    """The test rows; where they are a locked set, the reading is recorded and said."""
    reading = None if test is None else record(test, purpose="looked at by a check")
    return test if test is None or reading is None else test.replace(notes=[*test.notes, reading.sentence])


def _read_train(
    source: object, text: str | None, label: str | None, group: str | None, pair: str | Sequence[str] | None
) -> Dataset:
    if label == "":
        return read(source, text=text, group=group, pair=pair, labelled=False)
    return read(source, text=text, label=label, group=group, pair=pair, labelled=None)


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
    progress.start("Looking at the data", len(to_run))
    for check in to_run:
        started = time.perf_counter()
        try:
            findings += list(check().run(ground))
            seconds[check.name] = round(time.perf_counter() - started, 3)
        except FewtuneError as error:
            failed[check.name] = str(error)
        progress.advance()
    progress.finish()
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
            for _ in piece:
                progress.advance()
        progress.finish()
    if "predictions" in needs:
        with contextlib.suppress(FewtuneError):  # the checks that ask again will name it
            _ = ground.predictions


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
    from fewtune.methods.class_names import are_words, spoken

    lacking: dict[Need, str] = {}
    if any(example.label is None for example in train) or not len(train):
        lacking["predictions"] = LACKING["labels"]
    elif len(train.classes) < 2:
        lacking["predictions"] = "there is one class only"
    elif encoder is None:
        lacking["predictions"] = LACKING["vectors"]
    embed: Callable[[Sequence[str]], Vectors] | None = None if encoder is None else encoder.embed
    predict = None
    if encoder is not None and model and "predictions" not in lacking:

        def predict() -> Predictions:
            return predictions(train, encoder, ground.groups, seed=seed, progress=progress)

    ground = Ground(
        train,
        test,
        unlabelled,
        about,
        seed,
        embed=embed,
        count_tokens=None if encoder is None else encoder.full_lengths,
        most_tokens=None if encoder is None else encoder.max_tokens,
        predict=predict,
        spoken=tuple(map(spoken, train.classes)) if are_words(train.classes) else (),
        lacking=lacking,
    )
    return ground


def predictions(
    train: Dataset, encoder: Encoder, groups: Sequence[int], *, seed: int = 0, progress: Progress | None = None
) -> Predictions:
    """Out-of-fold probabilities of a probe, judged by the one evaluator on splits such as a fit would take.

    Few rows are dealt three times over: opinions of single rows are steadier then, which a score needs less.
    A fold learns from at most `MOST_LEARNT` rows drawn at random, one of each class at least; every row is answered.
    """
    from fewtune.fitting import choose_splits
    from fewtune.methods.probe import Probe
    from fewtune.recipe import Recipe
    from fewtune.study.evaluator import Evaluator
    from fewtune.study.settings import Settings
    from fewtune.tune.run import Context

    context = Context(train, {encoder.name: encoder}, groups)
    splits = [
        replace(split, train=_at_most(split.train, context, seed))
        for split in choose_splits(context, Settings(seed=seed, repeats=3 if len(train) < FEW else None))
    ]
    progress = progress or Progress()
    progress.start("Asking a probe about rows it has not seen", len(splits))
    oof = Evaluator(context, splits, progress=progress, seed=seed).judge(Recipe(Probe(), encoder.name)).oof
    progress.finish()
    return Predictions(oof.labels_N, oof.mean_probs_NC, encoder.features(train.texts))


def _at_most(rows: NDArray[np.int64], context: Context, seed: int) -> NDArray[np.int64]:
    """`MOST_LEARNT` of the rows, one of each class at least; all where there are no more."""
    if len(rows) <= MOST_LEARNT:
        return rows
    order = np.random.default_rng([seed, len(rows)]).permutation(rows)
    _, first = np.unique(context.labels[order], return_index=True)
    return np.sort(np.concatenate([order[first], np.delete(order, first)])[:MOST_LEARNT])


def _open(backbone: str, progress: Progress) -> Encoder:
    from fewtune.backbones.load import load_encoder

    progress.start("Opening the backbone", 1)
    encoder = load_encoder(backbone)
    progress.advance()
    progress.finish()
    return encoder


def _part(data: Dataset) -> dict[str, Any]:
    return {
        "source": data.source,
        "rows": len(data),
        "classes": len(data.classes),
        "fingerprint": data.fingerprint,
        "text_column": data.text_column,
        "label_column": data.label_column,
        "notes": list(data.notes),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    rows = [
        {
            "part": row.part,
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
