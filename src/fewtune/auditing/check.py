"""A check from end to end: read the files, open the backbone, lay the ground, look at it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fewtune.audit.base import Check, Need
from fewtune.auditing.found import Audit
from fewtune.auditing.ground import lay
from fewtune.auditing.looking import audit, chosen, concerning
from fewtune.data.base import Dataset
from fewtune.data.read import read, read_like
from fewtune.data.test_lock import record
from fewtune.seeds import check_seed
from fewtune.study.progress import Progress

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

MODELS: frozenset[Need] = frozenset({"vectors", "tokens", "predictions"})
"""Needs that only a backbone can meet."""


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
    check_seed(seed)
    rows = with_whole_prompts(_read_train(train, text, label, group, pair))
    others = _read_others(rows, test, unlabelled, group)
    checks = checks if only is not None else concerning(checks, rows.task)
    encoder = _open(backbone, checks, progress)
    about = (about or "").strip() or None
    ground = lay(rows, **others, about=about, encoder=encoder, model=model, seed=seed, progress=progress)
    settings = {"seed": seed, "about": about, "backbone": encoder.name if encoder else None, "model": model}
    found = audit(ground, checks=checks, progress=progress, settings=settings)
    return replace(found, total_seconds=time.perf_counter() - started)


def _read_train(
    source: object, text: str | None, label: str | None, group: str | None, pair: str | Sequence[str] | None
) -> Dataset:
    if label == "":
        return read(source, text=text, group=group, pair=pair, labelled=False)
    return read(source, text=text, label=label, group=group, pair=pair, labelled=None)


def _read_others(
    rows: Dataset, test: object | None, unlabelled: object | None, group: str | None
) -> dict[str, Dataset | None]:
    """The other files, each under its part's name; labels are looked for in the test rows alone."""
    others = {
        "test": None if test is None else _recorded(read_like(rows, test, labelled=None, group=group)),
        "unlabelled": None if unlabelled is None else read_like(rows, unlabelled, labelled=False, group=group),
    }
    return {part: None if data is None else with_whole_prompts(data) for part, data in others.items()}


def with_whole_prompts(rows: Dataset) -> Dataset:
    """Preferences whose text is all that was said before the answers: many conversations end with the same "Yes."."""
    if rows.task != "preference" or not any(example.messages for example in rows):
        return rows
    return rows.replace(
        examples=[
            replace(example, text="\n".join(turn.content for turn in example.messages[:-1]) or example.text)
            for example in rows
        ]
    )


def _recorded(test: Dataset) -> Dataset:
    """The test rows; where they are a locked set, the reading is recorded and said."""
    reading = record(test, purpose="looked at by a check")
    return test if reading is None else test.replace(notes=[*test.notes, reading.sentence])


def _open(backbone: str | None, checks: Sequence[type[Check]], progress: Progress) -> Encoder | None:
    """The backbone, where one is named and a check needs it."""
    if backbone is None or not any(check.needs & MODELS for check in checks):
        return None
    from fewtune.backbones.load import load_encoder

    with progress.stage("Opening the backbone"):
        return load_encoder(backbone)
