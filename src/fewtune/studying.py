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
    from fewtune.backbones.load import load_encoder

    settings, progress = settings or Settings(), progress or Progress()
    settings.check_out()
    method = method_class((settings.methods or ("probe",))[0])()
    if not method.reads_text:
        raise UsageError(f"{method.title} reads no text, so no format can matter to it. Take another --method.")
    check_classes_are_asked(dataset)
    check_task(dataset.texts, dataset.labels, dataset.source, dataset.label_column or "label")
    check_words(words or {}, dataset.classes)
    backbone = settings.backbones[0]
    tried = formats.candidates(dataset, method, backbone, instruction=instruction, words=dict(words or {}), more=more)
    context = Context(dataset, {backbone: load_encoder(backbone)}, groups_of(dataset))
    splits = choose_splits(context, settings)
    store = None if settings.out is None else RunStore(settings.out)
    about = {
        "format": FORMAT,
        "study": "formats",
        "source": dataset.source,
        "data": dataset.fingerprint,
        "rows": len(dataset),
        "classes": len(dataset.classes),
        "method": method.name,
        "backbone": context.encoders[backbone].name,
        "splits": len(splits),
        "seed": settings.seed,
        "versions": versions(),
        "hardware": hardware(),
    }
    if store is not None:
        store.write_json("study.json", {**settings.to_json(), **about})
    evaluator = Evaluator(context, splits, store=store, progress=progress, seed=settings.seed)
    found = about | formats.to_json(formats.compare_formats(evaluator, tried))
    if store is not None:
        store.write_json(RESULT, found)
    return found
