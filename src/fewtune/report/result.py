"""Put `result.json` together: the winner calibrated, every rung compared, the person advised."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.audit.duplicates import conflicts
from fewtune.audit.label_errors import label_errors
from fewtune.audit.leaks import Leak, leaks
from fewtune.data.base import Example
from fewtune.data.checks import listed, short
from fewtune.data.test_lock import record
from fewtune.errors import EmptyData, TaskError
from fewtune.methods.base import Fitted
from fewtune.metrics.base import OutOfFold
from fewtune.model_folder import Model
from fewtune.plural import agreeing, counted
from fewtune.report import assemble
from fewtune.report.advice import FEW_GROUPS
from fewtune.report.resampling import resampling, times

if TYPE_CHECKING:
    from fewtune.audit.base import Finding, Ground
    from fewtune.data.base import Dataset
    from fewtune.study.budget import Budget
    from fewtune.study.ladder import Climb
    from fewtune.study.learning_curve import Curve
    from fewtune.study.settings import Settings
    from fewtune.tune.run import Context

CONFLICTS_NAMED = 10
PACKAGES = ("fewtune", "torch", "transformers", "peft", "scikit-learn", "numpy", "cleanlab")


def build(
    fitted: Fitted,
    climb: Climb,
    curve: Curve,
    context: Context,
    settings: Settings,
    budget: Budget,
    ground: Ground,
    found: list[Finding],
) -> tuple[Model, dict[str, Any]]:
    """The calibrated model and the result that describes it."""
    dataset = context.dataset
    calibration = assemble.calibrate(climb, settings.abstain)
    columns = (dataset.text_column, *dataset.pair_columns)
    model = Model(
        fitted, climb.winning.recipe, dataset.classes, calibration.temperature, calibration.threshold, columns
    )
    result: dict[str, Any] = {
        "format": assemble.FORMAT,
        "task": "classification",
        "source": dataset.source,
        "rows": len(dataset),
        "classes": [{"name": name, "rows": rows} for name, rows in dataset.class_sizes.items()],
        "seed": settings.seed,
        "budget_seconds": budget.seconds,
        "versions": versions(),
        "hardware": hardware(),
        "data": _data(context, ground),
        "warnings": assemble.warnings(found),
        "resampling": _resampling(climb, context, given=settings.splits is not None),
        "winner": assemble.winner(climb, dataset.classes, calibration),
        "ladder": assemble.ladder(climb, {name: one.name for name, one in context.backbones.items()}),
        "selection": assemble.selection(climb, climb.beliefs),
        "learning_curve": assemble.curve(curve),
        "suspects": _suspects(climb, context),
        "unsure": assemble.unsure(climb, dataset, calibration.temperature),
        "test": None,
    }
    finish(result, climb, budget)
    return model, result


def without_classes(dataset: Dataset, settings: Settings, budget: Budget) -> dict[str, Any]:
    """What a result on rows without classes begins with: where it comes from, and places that only classes fill."""
    return {
        "format": assemble.FORMAT,
        "task": dataset.task,
        "source": dataset.source,
        "rows": len(dataset),
        "classes": [],
        "seed": settings.seed,
        "budget_seconds": budget.seconds,
        "versions": versions(),
        "hardware": hardware(),
        "data": {
            "fingerprint": dataset.fingerprint,
            "text_column": dataset.text_column,
            "label_column": dataset.label_column,
            "notes": list(dataset.notes),
        },
        "warnings": [],
        "learning_curve": None,
        "suspects": [],
        "unsure": [],
        "samples": [],
        "test": None,
    }


def finish(result: dict[str, Any], climb: Climb, budget: Budget) -> None:
    """Verdict and time, once everything else is in."""
    result["verdict"] = assemble.verdict(climb, result)
    result["seconds"] = round(budget.spent, 2)


def _suspects(climb: Climb, context: Context) -> list[dict[str, Any]]:
    """The winner's opinion of each label beside that of the class centres in its backbone's space."""
    oof, dataset = climb.winning.oof, context.dataset
    encoder = context.encoders.get(climb.winning.recipe.backbone) or next(iter(context.encoders.values()), None)
    rows = oof.tested_N
    features_NF = None if encoder is None else encoder.features(dataset.subset(rows).texts)
    groups_N = None if context.groups is None else [context.groups[row] for row in rows]
    probs_NC = oof.mean_probs_NC[rows]
    found = label_errors(oof.labels_N[rows], probs_NC, dataset.classes, features_NF=features_NF, groups_N=groups_N)
    return assemble.suspects(found, dataset.subset(rows))


def _data(context: Context, ground: Ground) -> dict[str, Any]:
    dataset = context.dataset
    truncated = sum(example.text in encoder.truncated for example in dataset for encoder in _first(context))
    notes = list(dataset.notes)
    if truncated:
        limit = _first(context)[0].max_tokens
        notes.append(
            f"{counted(truncated, 'text is', 'texts are')} longer than the backbone reads ({limit} tokens), cut there."
        )
    torn = conflicts(dataset.texts, dataset.labels, ground.spelled)
    for conflict in torn[:CONFLICTS_NAMED]:
        rows = ", ".join(str(dataset.examples[row].row) for row in conflict.rows[:6])
        notes.append(f"Rows {rows} say the same or nearly so, with different labels.")
    repeated = sum(count - 1 for count in Counter(ground.spelled).values())
    reworded = sum(count - 1 for count in Counter(ground.clusters).values()) - repeated
    if repeated:
        notes.append(
            f"{counted(repeated, 'row repeats', 'rows repeat')} another word for word or nearly so; "
            "copies never stand on both sides."
        )
    if reworded:
        notes.append(
            f"{counted(reworded, 'row says', 'rows say')} the same as another in nearly the same words; "
            "they stand on one side too."
        )
    return {
        "fingerprint": dataset.fingerprint,
        "text_column": dataset.text_column,
        "label_column": dataset.label_column,
        "notes": notes,
        "duplicates": repeated,
        "reworded": reworded,
        "conflicting": sum(len(conflict.rows) for conflict in torn),
        "truncated": truncated,
        "unlabelled": {"source": ground.unlabelled.source, "rows": len(context.unlabelled)}
        if ground.unlabelled
        else None,
    }


def _first(context: Context) -> list[Any]:
    return list(context.encoders.values())[:1]


def _resampling(climb: Climb, context: Context, *, given: bool) -> dict[str, Any]:
    found = resampling(climb, context)
    splits, dealt = found["splits"], f"{found['folds']} folds, {times(found['repeats'])}"
    sentence = (
        f"Every rung was fitted {splits} times: {dealt}, classes spread evenly"
        + (", copies and groups kept together" if found["groups"] else "")
        + (f" ({found['group_count']} groups)" if found.get("group_count", len(context.dataset)) < FEW_GROUPS else "")
        + ". Each score is of rows the model had not seen, and the rung was chosen anew without them."
    )
    if given:
        never = len(context.dataset) - len(climb.headline.tested_N)
        sentence = (
            f"Every rung was fitted {splits} times, on the splits that were given"
            + (f"; {counted(never, 'row is', 'rows are')} tested in none of them" if never else "")
            + ". Each score is of rows the model had not learned from, and the rung was chosen anew without them."
        )
    return {**found, "sentence": sentence}


def read_test(result: dict[str, Any], model: Model, ground: Ground, test: Dataset) -> dict[str, Any]:
    """Score the test file, the one time it is read: the rows that are not leaked, and beside them all of it.

    No score of leaked rows is ever the one that counts: where all are leaked there is none.
    """
    reading = record(test, purpose="scored by a fit", command=result.get("command"))  # before anything is looked at
    train, test = ground.train, _known(test, model.classes)
    place = {name: index for index, name in enumerate(model.classes)}
    labels = np.asarray([place[label] for label in test.labels], dtype=np.int64)
    probs_NC = model.predict_proba(test.texts)
    found = leaks(train, test, embed=ground.embed, bar=ground.reworded[1])
    clean = np.setdiff1d(np.arange(len(test)), np.asarray([leak.test for leak in found], dtype=np.int64))
    block: dict[str, Any] = {
        "source": test.source,
        "read_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": len(test),
        "notes": list(test.notes),
        "scored": len(clean),
        "leaks": [_leak(leak, train, test) for leak in found],
        "reading": None if reading is None else reading.to_json(),
    }
    if len(clean):
        block |= assemble.test_block(_as_test_set(labels[clean], probs_NC[clean]), model.classes)
    else:
        block["no_score"] = "every row of it also stands in the training file, or is related to a row that does"
    if found:
        block["with_leaks"] = assemble.scores(_as_test_set(labels, probs_NC))
    result["test"] = block
    return block


def _leak(leak: Leak, train: Dataset, test: Dataset) -> dict[str, Any]:
    row, twin = test.examples[leak.test], train.examples[leak.train]
    return {
        "row": row.row,
        "id": row.id,
        "train_row": twin.row,
        "train_id": twin.id,
        "kind": leak.kind,
        "text": row.text,
        "train_text": twin.text,
    }


def _known(test: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The labelled rows. Raises TaskError for labels that training never saw: they could only count as wrong."""
    strange = [example for example in test if example.label is not None and example.label not in classes]
    if strange:
        names = list(dict.fromkeys(str(example.label) for example in strange))
        label = "the label" if len(names) == 1 else f"{len(names)} labels,"
        verb, rows = ("is", "row") if len(names) == 1 else ("are", "rows")
        held = f" {len(strange)} rows hold {'it' if len(names) == 1 else 'one of them'}: rows {_rows(strange)}."
        raise TaskError(
            f"{label} {listed([short(name) for name in names])} {verb} in no training row."
            + (held if len(strange) > 1 else ""),
            file=test.source,
            row=strange[0].row,
            remedy=f"Correct the {rows}, or add rows of that class to the training file.",
        )
    bare = [example for example in test if example.label is None]
    if len(bare) == len(test):
        remedy = "Name its column with --label."
        raise EmptyData("no row of the test file has a label.", file=test.source, remedy=remedy)
    if bare:
        lack = agreeing(len(bare), "has no label and is left out: row", "have no label and are left out: rows")
        note = f"{len(bare)} of {len(test)} rows {lack} {_rows(bare)}."
        test = test.replace(notes=[*test.notes, note])
    return test.subset([index for index, example in enumerate(test) if example.label is not None])


def _rows(examples: Sequence[Example]) -> str:
    return listed([example.row for example in examples])


def _as_test_set(labels: Any, probs_NC: Any) -> OutOfFold:
    return OutOfFold(labels, (np.arange(len(labels)),), (probs_NC,))


def versions() -> dict[str, str]:
    """Of Python and the libraries that decide the numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """What it was computed on."""
    from fewtune.backbones.precision import detect, device

    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "device": str(device()),
        "precision": detect(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
