"""Preference tuning as a second stage, from end to end and without a screen: `fewtune prefer`."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewtune.data.base import Dataset
from fewtune.data.exchanges import prompt_key
from fewtune.data.general import read_general
from fewtune.data.preferences import are_pairs, read_preferences
from fewtune.data.templates.base import PLAIN
from fewtune.data.test_lock import record
from fewtune.errors import UsageError
from fewtune.fitting import laid_out, probes, refitted
from fewtune.methods.base import Writer
from fewtune.methods.preference.first_stage import FirstStage
from fewtune.methods.preference.trainers import require_trl
from fewtune.methods.preference.tuned import PreferenceMethod
from fewtune.report.preferred import build_preferred, finish_preferred, is_kept
from fewtune.report.preferred_test import read_preferred_test
from fewtune.report.written import sample_of
from fewtune.study.changes import change_of, changed
from fewtune.study.choice import FIRST_STAGE
from fewtune.study.forgetting import forgetting
from fewtune.study.keeping import kept
from fewtune.study.ladder import Climb, climb, default_rungs
from fewtune.study.progress import Progress
from fewtune.writer_folder import WritingModel, save_writer

if TYPE_CHECKING:
    from fewtune.recipe import Recipe
    from fewtune.study.budget import Budget
    from fewtune.study.evaluator import Evaluator
    from fewtune.study.settings import Settings

ADDED = ("prompt_tuning", "prefix_tuning", "p_tuning", "bottleneck")
"""First stages that put something of their own beside the weights, which a second adapter cannot stand on."""
SAMPLES = 6
"""Prompts answered by the first stage and by what was tuned, side by side."""


@dataclass(frozen=True)
class Preference:
    """What preference tuning gives."""

    model: WritingModel
    """Tuned by preferences where that bought something, else the first stage."""
    result: dict[str, Any]
    climb: Climb
    budget: Budget
    first: WritingModel
    """The first stage."""
    dataset: Dataset


def prefer(
    dataset: Dataset, settings: Settings, *, general: object = None, progress: Progress | None = None
) -> Preference:
    """Judge every method against the first stage on the same held-out preferences, keep it or what beats it.

    Parameters
    ----------
    dataset : preferences, as `read_preferences` gives them.
    settings : of the study; its one backbone is the first stage: a fit's folder, a model folder, or a Hub name.
    general : what else should not be forgotten, as `fewtune fit --probe-prompts` has it.

    Raises
    ------
    MissingExtra : TRL is not installed.
    UsageError, DataError, BackboneError : a start, rows or settings that cannot be meant, with what to do.
    """
    require_trl()
    own = None if general is None else read_general(general)
    tuned = tuned_before(settings.backbones)
    _check_apart(settings)
    progress = progress or Progress()
    with laid_out(dataset, settings, progress=progress, writes=True) as (evaluator, _):
        found = candidates(settings, evaluator, tuned=tuned)
        climbed = kept(climb(evaluator, found))
        fitted = refitted(evaluator, climbed)
        assert isinstance(fitted, Writer)
        return _reported(evaluator, settings, climbed, fitted, own, progress)


def prefer_from(
    model: WritingModel,
    preferences: object,
    *,
    test: object = None,
    general: object = None,
    progress: Progress | None = None,
    out: Path | None = None,
    **settings: Any,
) -> Preference:
    """`prefer` from a model that is open: it is written where `out` says, with `-first-stage` behind its name, or
    nowhere that lasts.

    Parameters
    ----------
    settings : of the study, by the names of `Settings`.
    """
    from fewtune.study.settings import Settings

    dataset = read_preferences(preferences)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model" if out is None else out.with_name(f"{out.name}-first-stage")
        save_writer(model, folder)
        asked = Settings(backbones=(str(folder),), task="preference", out=out, started=time.perf_counter(), **settings)
        found = prefer(dataset, asked, general=general, progress=progress)
        if test is not None:
            read_test(found, test)
    return found


def _reported(
    evaluator: Evaluator,
    settings: Settings,
    climbed: Climb,
    fitted: Writer,
    own: Dataset | None,
    progress: Progress,
) -> Preference:
    context, budget = evaluator.context, evaluator.budget
    recipe = climbed.winning.recipe
    model = WritingModel(fitted, recipe, "generation")
    untuned = replace(recipe, method=FirstStage())
    first = model if recipe.method == FirstStage() else WritingModel(_opened(evaluator, untuned), untuned, "generation")
    budget.reserve = 0.0  # it was kept back for the refit, which is done
    result = build_preferred(climbed, context, settings, budget)
    with progress.stage("Looking for what was forgotten"):
        result["forgetting"] = forgetting(fitted, is_kept(result), probes(own), budget, seed=settings.seed)
        if is_kept(result):
            result["samples"] = samples(context.dataset, first, model)
    finish_preferred(result, climbed, budget)
    return Preference(model, result, climbed, budget, first, context.dataset)


def _opened(evaluator: Evaluator, recipe: Recipe) -> Writer:
    fitted = evaluator.refit(recipe)
    assert isinstance(fitted, Writer)
    return fitted


def read_test(found: Preference, test: object) -> dict[str, Any]:
    """Score a test file, once, after everything is decided. Raises DataError."""
    held = read_preferences(test)
    reading = record(held, purpose="scored by preference tuning", command=found.result.get("command"))
    block = read_preferred_test(found.result, found.model, found.first, found.dataset, held)
    block["reading"] = None if reading is None else reading.to_json()
    finish_preferred(found.result, found.climb, found.budget)
    return block


def samples(dataset: Dataset, first: WritingModel, model: WritingModel) -> list[dict[str, Any]]:
    """The same prompts answered before and after; the page lets a person mark which is better."""
    asked = list({prompt_key(example): example for example in dataset}.values())
    shown = asked[:: max(1, len(asked) // SAMPLES)][:SAMPLES]
    answers = {FIRST_STAGE: first.write(shown), "winner": model.write(shown)}
    return [
        sample_of(example, {way: texts[place] for way, texts in answers.items()}) for place, example in enumerate(shown)
    ]


def tuned_before(backbones: tuple[str, ...]) -> bool:
    """Whether the one backbone named was tuned for prompts like these; else it is as somebody published it.

    Raises UsageError for what no second stage can begin with.
    """
    from fewtune.model_folder import CARD, find, read_card

    if len(backbones) != 1:
        raise UsageError(f"Preference tuning starts from one model, not {len(backbones)}. Name one.")
    folder = Path(backbones[0]).expanduser()
    if not any((place / CARD).exists() for place in (folder, folder / "model")):
        return False
    card = read_card(find(folder))
    if card.get("task", "classification") == "classification":
        raise UsageError(f"{folder} holds a classifier, which writes nothing that could be preferred.")
    recipe = card.get("recipe")
    method = str(recipe.get("method")) if isinstance(recipe, dict) else ""
    if method == "few_shot":
        raise UsageError(
            f"In {folder} examples before the prompt won, and no weight was tuned: there is no first stage to start "
            "from. Fit again with --method lora, or give the model itself and --method orpo."
        )
    if method in ADDED:
        raise UsageError(
            f"The first stage in {folder} is {method}, which preference tuning cannot go on from. "
            "Fit again with --method lora, top_layers or full."
        )
    return method != "zero_shot"


def _check_apart(settings: Settings) -> None:
    """Raises UsageError where the second stage would be written over the first."""
    if settings.out is None:
        return
    first, out = Path(settings.backbones[0]).expanduser().resolve(), settings.out.resolve()
    if out in (first, first.parent if first.name == "model" else first) or first in out.parents:
        raise UsageError(f"{settings.out} holds the first stage, which would be lost. Name another folder with --out.")


def candidates(settings: Settings, evaluator: Evaluator, *, tuned: bool) -> list[Recipe]:
    """The first stage, then every method that can learn from these rows on this model.

    Raises UsageError where a method that was asked for cannot, or none can.
    """
    dataset, name = evaluator.context.dataset, settings.backbones[0]
    model = evaluator.context.language_models[name]
    asked = tuple(one for one in settings.methods or () if one != FIRST_STAGE)
    found = []
    template = model.settle(None if settings.template == PLAIN else settings.template)
    for recipe in default_rungs((name,), unlabelled=False, task="preference"):
        method = recipe.method
        if isinstance(method, PreferenceMethod):
            if asked and method.name not in asked:
                continue
            why = _cannot(method, dataset, model.kind, tuned=tuned, asked=bool(asked))
            if why and asked:
                raise UsageError(why)
            if why:
                continue
        # What the recipe states is what is used: the model's own chat template is named in it.
        found.append(replace(recipe, template=template))
    if len(found) < 2:
        raise UsageError(
            "A model that was not tuned for such prompts yet has nothing to hold preferences against, and these rows "
            "are single answers, from which ORPO cannot learn. Tune it first with fewtune fit, or name --method kto."
        )
    return changed(found, [change_of(said, "preference") for said in settings.changes])


def _cannot(method: PreferenceMethod, dataset: Dataset, kind: str, *, tuned: bool, asked: bool) -> str:
    """Why a method is no candidate; empty where it is one."""
    if not are_pairs(dataset) and not method.single:
        return f"{method.title} learns from pairs, and these rows are single answers. Take kto."
    if kind == "seq2seq" and not method.seq2seq:
        return f"TRL has {method.title} for causal models only, and this is an encoder-decoder model. Take orpo."
    if not tuned and not method.own_start and not asked:
        return f"{method.title} starts from a model that was tuned for such prompts."
    return ""


__all__ = ["Preference", "candidates", "prefer", "prefer_from", "read_test", "tuned_before"]
