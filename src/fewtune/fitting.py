"""The main job, end to end: rows in; splits, ladder, choice, refit, calibration and result out."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewtune.audit.base import Ground
from fewtune.audit.guard import guard
from fewtune.data.base import Dataset
from fewtune.data.checks import check_classes_are_asked, check_task
from fewtune.data.exchanges import check_exchanges, groups_to_write
from fewtune.data.general import GENERAL, OWN, general_text, read_general
from fewtune.data.mixing import Mix
from fewtune.data.split_file import splits_of
from fewtune.data.splits import Split, repeated_folds
from fewtune.data.templates.base import PLAIN, Template
from fewtune.data.templates.words import check_words
from fewtune.errors import DataError, UsageError
from fewtune.methods.base import Fitted, Writer
from fewtune.methods.preference.rows import check_lengths as check_pair_lengths
from fewtune.model_folder import Model
from fewtune.plural import counted
from fewtune.recipe import Recipe
from fewtune.report.result import build, hardware, versions
from fewtune.report.tasks import with_tasks
from fewtune.report.written import build_written, oof_texts
from fewtune.study.budget import Budget, parse
from fewtune.study.changes import change_of, changed
from fewtune.study.either import check_asking, check_kinds, likeness, open_to_classify
from fewtune.study.evaluator import Evaluator
from fewtune.study.forgetting import forgetting
from fewtune.study.ladder import ALWAYS, ALWAYS_WRITING, Climb, climb, default_rungs
from fewtune.study.learning_curve import Curve, learning_curve
from fewtune.study.memorising import memorisation
from fewtune.study.progress import Progress
from fewtune.study.settings import Settings
from fewtune.study.store import RunStore
from fewtune.study.tasks import apart
from fewtune.tune.executors.registry import executor
from fewtune.tune.run import Context
from fewtune.writer_folder import WritingModel

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.backbones.team import Team
    from fewtune.tune.executors.base import Executor

FOLDS = 5
FEW_TO_CLASSIFY, FEW_TO_WRITE = 500, 100
"""Below so many rows the folds are dealt twice. A loss says more a row than a class that is right or wrong, and a run
that writes costs more."""


@dataclass(frozen=True)
class Fit:
    """What a fit gives."""

    model: Model | WritingModel
    result: dict[str, Any]
    climb: Climb
    budget: Budget
    encoder: Encoder | None
    """The winner's backbone; None when it reads no text."""
    ground: Ground
    """What was found out about the rows: their groups, and how close is too close."""


def fit(
    dataset: Dataset,
    settings: Settings,
    *,
    unlabelled: Dataset | None = None,
    general: object = None,
    mix: Mix | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Judge the rungs that apply, choose, refit on all rows, calibrate, and say what was found.

    Parameters
    ----------
    unlabelled : texts of the same kind without labels, which some methods learn from.
    general : of a model that writes: what else it should not forget, as `read_general` reads it.
    mix : of a model that writes: the tasks its rows are of, and what is learnt again beside them.
    """
    own = None if general is None else read_general(general)
    mixes = mix is not None and not mix.plain
    if (own is not None or mixes) and dataset.task == "classification":
        what = "Probe prompts are" if own is not None else "Several files at once and replay are"
        raise UsageError(f"{what} for models that write. These rows have labels: leave them out.")
    progress = progress or Progress()
    options: dict[str, Any] = {"unlabelled": unlabelled, "progress": progress, "writes": True}
    if mix is not None and mixes:
        measured = [general_text(), *([] if own is None else [own])]
        options["mix"] = mix.without(example for known in measured for example in known)
    with laid_out(dataset, settings, **options) as (evaluator, ground):
        if evaluator.context.writes:
            return _fit_to_write(evaluator, ground, settings, own)
        return _fit(evaluator, ground, settings)


@contextlib.contextmanager
def laid_out(
    dataset: Dataset,
    settings: Settings,
    *,
    unlabelled: Dataset | None = None,
    progress: Progress,
    writes: bool = False,
    texts: bool = True,
    mix: Mix | None = None,
) -> Iterator[tuple[Evaluator, Ground]]:
    """What every study on these rows begins with: backbones opened, splits chosen, a store, somebody to do the runs.

    What it holds is given back at the end, and what was started is stopped.

    Parameters
    ----------
    writes : whether the study can judge texts that are written, beside classes.
    texts : whether it asks for the texts themselves, and not for their costs alone.
    mix : of such texts: their tasks, and what is learnt again beside them.
    """
    settings.check_out()
    budget = Budget(parse(settings.budget), started=settings.started)
    if writes and dataset.task != "classification":
        context, ground = _to_write(dataset, settings, progress, mix)
    else:
        context, ground = _to_classify(dataset, settings, unlabelled, progress)
    splits = choose_splits(context, settings)
    dataset = context.dataset
    if settings.splits is None and splits[0].folds < (settings.folds or FOLDS):
        progress.say(splits[0].note)
        dataset = dataset.replace(notes=[*dataset.notes, splits[0].note])
        context = replace(context, dataset=dataset)
    store = RunStore(settings.out) if settings.out is not None else None
    if store is not None:
        _say_what_is_replaced(store.folder, dataset, progress)
        about = {"data": dataset.fingerprint, "splits": len(splits), "versions": versions(), "hardware": hardware()}
        mixed = {} if mix is None else {"mix": mix.to_json()}
        store.write_json("study.json", {**settings.to_json(), **mixed, **about})
    with _hands(settings, context) as hands:
        options: dict[str, Any] = {"store": store, "executor": hands, "budget": budget, "progress": progress}
        yield Evaluator(context, splits, seed=settings.seed, texts=texts, **options), ground


def _say_what_is_replaced(folder: Path, dataset: Dataset, progress: Progress) -> None:
    """Where the folder holds a result on other rows; a damaged one is no loss."""
    try:
        before = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        source, fingerprint = str(before["source"]), str(before["data"]["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    if fingerprint != dataset.fingerprint:
        progress.say(
            f"{folder} holds a fit on other rows ({source}): its result, page and model will be replaced. To keep "
            "them, stop here and give another --out; finished runs are kept either way."
        )


def _to_classify(
    dataset: Dataset, settings: Settings, unlabelled: Dataset | None, progress: Progress
) -> tuple[Context, Ground]:
    check_classes_are_asked(dataset)
    check_task(dataset.texts, dataset.labels, dataset.source, dataset.label_column or "label")
    check_words(dict(settings.template.words), dataset.classes)
    encoders, models = open_to_classify(settings.backbones, progress)
    notes = [note for model in models.values() for note in check_asking(dataset, model, settings.template)]
    pool = tuple(dict.fromkeys(unlabelled.texts)) if unlabelled else ()
    if unlabelled:
        notes.append(_pool_note(unlabelled, pool, dataset))
        progress.say(notes[-1])
    dataset = dataset.replace(notes=list(dict.fromkeys([*dataset.notes, *notes])))
    _embed(list(dict.fromkeys([*dataset.texts, *pool])), encoders, progress)
    ground = Ground(dataset, unlabelled=unlabelled, seed=settings.seed, embed=likeness(encoders, models))
    return Context(dataset, encoders, ground.groups, pool, _partial(settings), models), ground


def _pool_note(unlabelled: Dataset, pool: tuple[str, ...], dataset: Dataset) -> str:
    """How many unlabelled texts there are to learn from, and how many say nothing new."""
    shared = len(set(pool) & set(dataset.texts))
    known = f"; {shared} of them are labelled rows too, and are left out where these are held out" if shared else ""
    different = f", {len(pool)} of them different" if len(pool) < len(unlabelled) else ""
    return f"{unlabelled.source}: {counted(len(unlabelled), 'unlabelled text')}{different}{known}."


def _to_write(dataset: Dataset, settings: Settings, progress: Progress, mix: Mix | None) -> tuple[Context, Ground]:
    notes = [] if dataset.task == "preference" else check_exchanges(dataset)
    models = open_language_models(settings.backbones, progress, _team(settings))
    template = None if settings.template == PLAIN else settings.template
    notes += check_lengths(dataset, models, template)
    notes += [note for model in models.values() for note in model.notes]
    dataset = dataset.replace(notes=list(dict.fromkeys([*dataset.notes, *notes])))
    groups = groups_to_write(dataset)
    context = Context(
        dataset, {}, groups, partial=_partial(settings), language_models=models, mix=mix, thrift=settings.thrift
    )
    return context, Ground(dataset, seed=settings.seed)


def _team(settings: Settings) -> Team | None:
    """The processes that share the model, this one leading; None where it is alone, as nearly always."""
    if settings.processes is None and "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    from fewtune.tune.executors.followers import gather

    return gather(settings.processes)


def _partial(settings: Settings) -> Path | None:
    return None if settings.out is None else settings.out / "partial"


def open_language_models(
    names: tuple[str, ...], progress: Progress, team: Team | None = None
) -> dict[str, LanguageModel]:
    """Models that write, by the names they were given. Raises BackboneError.

    Parameters
    ----------
    team : the processes that will share their weights.
    """
    from fewtune.backbones.language.load import load_language_model

    # Weights that move are kept in float32; what is frozen is cast once where products run in half precision.
    # A model shared out is large: its frozen weights are held as products need them.
    opened = progress.through("Opening the model", names)
    return {name: load_language_model(name, precision=None if team else "float32", team=team) for name in opened}


def check_lengths(dataset: Dataset, models: dict[str, LanguageModel], template: Template | None) -> list[str]:
    """Notes on rows that are cut to fit the context.

    Raises
    ------
    DataError : a row that cannot be put to the model at all, with file and row.
    """
    if dataset.task == "preference":
        for model in models.values():
            check_pair_lengths(dataset, model, template)
        return []
    notes = []
    for model in models.values():
        asked = model.settle(template)
        try:
            rows = [part for example in dataset for part in model.encode_all([example], asked, overlong="cut")]
        except DataError as error:
            raise type(error)(error.what, file=dataset.source, row=error.row, remedy=error.remedy) from error
        for count, what in (
            (sum(row.cut > 0 for row in rows), "prompts are longer than the context of {} tokens: their beginnings"),
            (sum(row.lost > 0 for row in rows), "completions do not fit the context of {} tokens: their ends"),
        ):
            if count:
                notes.append(f"{count} {what.format(model.context)} were cut for {model.name}.")
    return notes


@contextlib.contextmanager
def _hands(settings: Settings, context: Context) -> Iterator[Executor]:
    """Who carries out the runs; closed at the end, unless it was made elsewhere."""
    team = next((model.team for model in context.language_models.values() if model.team is not None), None)
    if team is not None:
        from fewtune.tune.executors.sharded import ShardedExecutor

        yield ShardedExecutor(team)
        return
    if not isinstance(settings.executor, str):
        yield settings.executor
        return
    with contextlib.closing(executor(settings.executor, ray_address=settings.ray_address)) as made:
        yield made


def _fit(evaluator: Evaluator, ground: Ground, settings: Settings) -> Fit:
    context, budget = evaluator.context, evaluator.budget
    climbed = climb(evaluator, rungs(settings, context))
    curve = _curve(evaluator, climbed)
    recipe, fitted = climbed.winning.recipe, refitted(evaluator, climbed)
    model, result = build(fitted, climbed, curve, context, settings, budget, ground, guard(ground))
    encoder = context.encoders[recipe.backbone] if recipe.method.embeds else None
    return Fit(model, result, climbed, budget, encoder, ground)


def _fit_to_write(evaluator: Evaluator, ground: Ground, settings: Settings, own: Dataset | None) -> Fit:
    context, budget, progress = evaluator.context, evaluator.budget, evaluator.progress
    climbed = climb(evaluator, rungs_to_write(settings, context))
    parts = apart(evaluator, climbed)
    fitted = refitted(evaluator, climbed)
    assert isinstance(fitted, Writer)
    model = WritingModel(fitted, climbed.winning.recipe, context.dataset.task)
    budget.reserve = 0.0  # it was kept back for the refit, which is done
    with progress.stage("Looking for what was forgotten"):
        after = aftermath(fitted, climbed, context, own, budget, seed=settings.seed)
    result = build_written(climbed, context, settings, budget) | after
    with_tasks(result, context, climbed, parts)
    return Fit(model, result, climbed, budget, None, ground)


def refitted(evaluator: Evaluator, climbed: Climb) -> Fitted:
    """The winner, fitted on all rows."""
    recipe = climbed.winning.recipe
    with evaluator.progress.stage(f"Fitting {recipe.title.lower()} on all rows"):
        return evaluator.refit(recipe)


def aftermath(
    fitted: Writer, climbed: Climb, context: Context, own: Dataset | None, budget: Budget, *, seed: int
) -> dict[str, Any]:
    """What tuning did beside its task: what was forgotten, and what was learnt by heart."""
    trained = fitted.trainable_parameters > 0
    held_out = oof_texts(climbed.winning.oof)
    options: dict[str, Any] = {"groups": context.groups, "seed": seed}
    return {
        "forgetting": forgetting(fitted, trained, probes(own), budget, seed=seed),
        "memorisation": memorisation(fitted, trained, context.dataset, held_out, budget, **options),
    }


def probes(own: Dataset | None) -> list[tuple[str, Dataset]]:
    """What forgetting is measured on: the text that comes with fewtune, and a person's own probes."""
    return [(GENERAL, general_text()), *([] if own is None else [(OWN, own)])]


def rungs_to_write(settings: Settings, context: Context) -> list[Recipe]:
    """The recipes to judge, simplest first; a plain text has no prompt that examples could stand before."""
    found = []
    asked = settings.methods or ()
    for recipe in default_rungs(settings.backbones, unlabelled=False, task="generation", asked=asked):
        model = context.language_models[recipe.backbone]
        # What the recipe states is what is used: the model's own chat template, the rate for its width.
        template = model.settle(None if settings.template == PLAIN else settings.template)
        found.append(replace(recipe, method=recipe.method.suited(model), template=template))
    found = changed(found, [change_of(said, settings.task) for said in settings.changes])
    if context.dataset.task == "language_modelling":
        found = [recipe for recipe in found if recipe.method.name != "few_shot"]
    wanted = {*(settings.methods or (one.method.name for one in found)), *ALWAYS_WRITING}
    return [recipe for recipe in found if recipe.method.name in wanted]


def _embed(texts: list[str], encoders: dict[str, Encoder], progress: Progress) -> None:
    """The frozen answers every rung shares, with a bar of their own."""
    for encoder in encoders.values():
        progress.start("Reading the texts once", len(texts))
        encoder.embed(texts, progress=progress.several)
        progress.finish()


def rungs(settings: Settings, context: Context) -> list[Recipe]:
    """The recipes to judge, simplest first."""
    kinds: dict[str, Any] = {"encoders": context.encoders, "writers": context.language_models}
    plain = default_rungs(
        settings.backbones, unlabelled=bool(context.unlabelled), asked=settings.methods or (), **kinds
    )
    found = [replace(recipe, template=settings.template) for recipe in plain]
    # What the recipe states is what is used: layout and instruction are named in it.
    found = [replace(one, template=context.label_template(one)) if one.method.asks else one for one in found]
    check_kinds(settings.methods or (), found)
    found = changed(found, [change_of(said, settings.task) for said in settings.changes])
    if settings.methods is None:
        return found
    wanted = {*settings.methods, *ALWAYS}
    return [recipe for recipe in found if recipe.method.name in wanted]


def choose_splits(context: Context, settings: Settings) -> list[Split]:
    """Those given; else folds and repeats: fewer rows, more repeats, as a small test part makes a noisy score."""
    if settings.splits is not None:
        given = list(splits_of(settings.splits, context.dataset))
        if len(given) < 2:
            what = "One split cannot both choose a method and say how good it is."
            raise UsageError(f"{what} Give two splits or more: fewtune split --folds 5.")
        return given
    rows = len(context.dataset)
    folds = settings.folds or FOLDS
    few = FEW_TO_WRITE if context.writes else FEW_TO_CLASSIFY
    repeats = settings.repeats or (2 if rows < few else 1)
    labels: list[int] = context.labels.tolist()
    return repeated_folds(labels, context.groups, folds=folds, repeats=repeats, seed=settings.seed)


def _curve(evaluator: Evaluator, climbed: Climb) -> Curve:
    recipe = next(
        (rung.recipe for rung in climbed.rungs if rung.recipe.method.name == "probe" and rung.judged is not None),
        climbed.winning.recipe,
    )
    budget, evaluator.budget = evaluator.budget, Budget(None)
    try:
        return learning_curve(evaluator, recipe)
    finally:
        evaluator.budget = budget
