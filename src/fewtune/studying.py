"""Studies a person calls by name, end to end: rows in, what was found out, every run kept on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewtune.audit.duplicates import groups_of
from fewtune.data.base import Dataset
from fewtune.data.checks import check_classes_are_asked, check_task
from fewtune.data.templates.base import Template
from fewtune.data.templates.words import check_words
from fewtune.errors import UsageError
from fewtune.fitting import choose_splits
from fewtune.methods.base import Method
from fewtune.methods.registry import method_class
from fewtune.report.result import hardware, versions
from fewtune.study import formats
from fewtune.study.evaluator import Evaluator
from fewtune.study.progress import Progress
from fewtune.study.settings import Settings
from fewtune.study.store import RunStore
from fewtune.tune.run import Context

FORMAT = 1
RESULT = "formats.json"


def study_formats(
    dataset: Dataset,
    settings: Settings | None = None,
    *,
    instruction: str = formats.ASKED,
    words: Mapping[str, str] | None = None,
    more: Sequence[tuple[str, Template]] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare formats on one dataset with one method and backbone, the first of `settings`.

    Parameters
    ----------
    instruction, words, more : see `fewtune.study.formats.candidates`.

    Returns
    -------
    dict
        What `formats.json` holds, which is written where `settings.out` is given.

    Raises
    ------
    DataError, UsageError : rows that make no task, a method that reads no text.
    """
    settings, progress = settings or Settings(), progress or Progress()
    settings.check_out()
    method = _method(settings)
    check_classes_are_asked(dataset)
    check_task(dataset.texts, dataset.labels, dataset.source, dataset.label_column or "label")
    check_words(words or {}, dataset.classes)
    backbone = settings.backbones[0]
    tried = formats.candidates(dataset, method, backbone, instruction=instruction, words=dict(words or {}), more=more)
    evaluator = _evaluator(dataset, backbone, settings, progress)
    name = evaluator.context.encoders[backbone].name
    about = described("formats", FORMAT, evaluator, method=method.name, backbone=name)
    if evaluator.store is not None:
        evaluator.store.write_json("study.json", {**settings.to_json(), **about})
    found = about | formats.to_json(formats.compare_formats(evaluator, tried))
    if evaluator.store is not None:
        evaluator.store.write_json(RESULT, found)
    return found


def described(study: str, format: int, evaluator: Evaluator, **asked: Any) -> dict[str, Any]:
    """What a study's result begins with: the rows it is about, what was asked, the splits, the machine."""
    dataset = evaluator.context.dataset
    return {
        "format": format,
        "study": study,
        "source": dataset.source,
        "data": dataset.fingerprint,
        "rows": len(dataset),
        "classes": len(dataset.classes),
        **asked,
        "splits": len(evaluator.splits),
        "seed": evaluator.seed,
        "versions": versions(),
        "hardware": hardware(),
    }


def _method(settings: Settings) -> Method:
    """The method that formats are judged with. Raises UsageError for one that they cannot matter to."""
    method = method_class((settings.methods or ("probe",))[0])()
    if not method.reads_text:
        raise UsageError(f"{method.title} reads no text, so no format can matter to it. Take another --method.")
    return method


def _evaluator(dataset: Dataset, backbone: str, settings: Settings, progress: Progress) -> Evaluator:
    from fewtune.backbones.load import load_encoder

    context = Context(dataset, {backbone: load_encoder(backbone)}, groups_of(dataset))
    splits = choose_splits(context, settings)
    store = None if settings.out is None else RunStore(settings.out)
    return Evaluator(context, splits, store=store, progress=progress, seed=settings.seed)


__all__ = ["described", "study_formats"]
