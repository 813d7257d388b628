"""Searches over settings, end to end: rows in, what was found out, every run kept on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fewtune.data.base import Dataset
from fewtune.data.templates.base import PLAIN
from fewtune.errors import UsageError
from fewtune.fitting import laid_out
from fewtune.methods.base import Method
from fewtune.methods.registry import method_class
from fewtune.recipe import Recipe
from fewtune.study import grid
from fewtune.study.budget import BudgetSpent
from fewtune.study.evaluator import Evaluator
from fewtune.study.halving import MARGIN, RISK
from fewtune.study.progress import Progress
from fewtune.study.settings import Settings
from fewtune.studying import described

FORMAT = 1
RESULT = "grid.json"


def study_grid(
    dataset: Dataset,
    method: str,
    choices: Mapping[str, Sequence[Any]],
    settings: Settings | None = None,
    *,
    unlabelled: Dataset | None = None,
    halving: bool = True,
    margin: float = MARGIN,
    risk: float = RISK,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Judge every combination of a method's settings on one dataset, against the method's default.

    Rows with classes are judged by accuracy; rows to write by bits per byte, the cross-validated loss of the given
    completions.

    Parameters
    ----------
    method : its name, among the methods of the rows' task.
    choices : values of each setting, such as `{"rate": (1e-3, 3e-3), "rank": (4, 8)}`.
    settings : backbone (the first), folds, budget, executor, folder and the rest.
    halving : whether candidates clearly behind are judged no further.
    margin, risk : a difference within which nobody is dropped, and the largest probability that the truly best one is.

    Returns
    -------
    dict
        What `grid.json` holds, which is written where `settings.out` is given.

    Raises
    ------
    DataError, UsageError : rows that make no task, settings the method has not, no time for even the first splits.
    TrainingDiverged : the loss of every candidate did.
    """
    settings, progress = settings or Settings(), progress or Progress()
    _check(dataset, method, unlabelled, margin, risk)
    settings = replace(settings, methods=(method,), backbones=settings.backbones[:1], task=dataset.task)
    backbone = settings.backbones[0]
    default = method_class(method, dataset.task)()
    grid.candidates(default, choices, backbone=backbone)  # what cannot be meant is said before a model is opened
    options: dict[str, Any] = {"unlabelled": unlabelled, "progress": progress}
    with laid_out(dataset, settings, writes=True, texts=False, **options) as (evaluator, _):
        tried = _tried(evaluator, default, choices, settings)
        judged = _judged(evaluator, tried, halving=halving, margin=margin, risk=risk)
        asked = {"grid": {name: list(values) for name, values in choices.items()}, "halving": halving}
        about = described("grid", FORMAT, evaluator, method=method, backbone=backbone, **asked)
        # Lists for tuples: what is given back is what is read again.
        found: dict[str, Any] = json.loads(json.dumps(about | grid.to_json(judged)))
        if evaluator.store is not None:
            evaluator.store.write_json(RESULT, found)
    return found


def _tried(
    evaluator: Evaluator, default: Method, choices: Mapping[str, Sequence[Any]], settings: Settings
) -> list[grid.Candidate]:
    """The candidates; a method that writes has the rate and the template that suit its model, as in a fit."""
    backbone, template = settings.backbones[0], settings.template
    if evaluator.context.writes:
        model = evaluator.context.language_models[backbone]
        default, template = default.suited(model), model.settle(None if template == PLAIN else template)
    elif default.asks:
        template = evaluator.context.label_template(Recipe(default, backbone, template))
    return grid.candidates(default, choices, backbone=backbone, template=template)


def _check(dataset: Dataset, method: str, unlabelled: Dataset | None, margin: float, risk: float) -> None:
    """Raises UsageError for what cannot be meant."""
    if dataset.task == "preference":
        raise UsageError(
            "A grid is for rows with classes or rows to write, and these are preferences. Settings of dpo, orpo and "
            "kto are changed one at a time: fewtune prefer --set dpo.beta=0.3."
        )
    if dataset.task != "classification" and unlabelled:
        raise UsageError("--unlabelled is for rows with classes. These are rows to write: leave it out.")
    if not 0 <= margin < 1:
        what = "a difference in accuracy, or in bits per byte,"
        raise UsageError(f"--margin is {what} from 0 to below 1, such as 0.01, not {margin:g}.")
    if not 0 < risk < 1:
        raise UsageError(f"--risk is a probability between 0 and 1, such as 0.05, not {risk:g}.")
    if method_class(method, dataset.task).uses_unlabelled and not unlabelled:
        raise UsageError(f"{method} learns from texts without labels: give some with --unlabelled.")


def _judged(evaluator: Evaluator, tried: Sequence[grid.Candidate], **halving: Any) -> grid.GridResult:
    """Every candidate judged. Raises UsageError where there was no time for even the first splits."""
    try:
        return grid.judge(evaluator, tried, **halving)
    except BudgetSpent as spent:
        raise UsageError(
            "The budget was spent before every setting had been judged on the first splits. What is finished is "
            "kept where --out was given: the same command with a larger --budget goes on from there."
        ) from spent


__all__ = ["study_grid"]
