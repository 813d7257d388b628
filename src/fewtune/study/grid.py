"""A grid over a method's settings, judged on paired folds, each held against the method's default.

Two things make the best of a grid look better than it is, and both are undone here. Its score was looked for among
many on the same rows: what choosing is worth is told by the bootstrap bias correction (`metrics/selection.py`), which
chooses again on drawn rows and scores the choice on the rows left out. And with m settings held against the default one
in twenty would win by luck at the usual level: each verdict is made at 1 − 0.05 / m (Bonferroni).

Legend: R candidates, N rows.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any

import numpy as np

from fewtune.data.base import Task
from fewtune.data.templates.base import PLAIN, Template
from fewtune.errors import UsageError
from fewtune.methods.base import Method
from fewtune.methods.registry import method_class
from fewtune.metrics.base import OutOfFold, row_means
from fewtune.metrics.intervals import Interval, train_share
from fewtune.metrics.paired import Comparison, compare
from fewtune.metrics.selection import SelectionScore, bootstrap_bias_corrected
from fewtune.recipe import Recipe
from fewtune.study.evaluator import Evaluator, out_of_fold
from fewtune.study.halving import MARGIN, RISK, Dropped, Halved, halve
from fewtune.study.measure import ACCURACY, Measure, measured

CHANCE = 0.05
"""How often a grid in which nothing matters may call any setting better or worse than the default."""
MOST = 1000
"""Settings of a grid; beyond, a search that proposes is what is wanted."""
LIST_MARK = ":"
"""Between the parts of one value, where a setting is a list: `targets=query:value,dense`."""

Candidate = tuple[dict[str, Any], Recipe]
"""The settings of the grid, and the recipe that has them."""


@dataclass(frozen=True)
class Finding:
    """What was found of one candidate."""

    settings: dict[str, Any]
    """The settings of the grid, with its values."""
    recipe: Recipe
    splits: int
    """How many it was judged on."""
    score: Interval | None
    """Its accuracy or bits per byte; None for one that could not be judged."""
    seconds: float
    against_default: Comparison | None
    """On the splits both were judged on; None for the default itself."""
    dropped: Dropped | None


@dataclass(frozen=True)
class GridResult:
    """What a grid gave."""

    findings: tuple[Finding, ...]
    """The default first, then in the grid's order."""
    best: int
    """The highest accuracy, or the fewest bits per byte, among those judged to the end; the first of equals."""
    choosing: SelectionScore
    """What choosing the best is worth, and how optimistic its own score is."""
    halved: Halved
    level: float
    """Of each verdict."""

    @property
    def measure(self) -> Measure:
        """What the candidates were compared by."""
        return self.halved.measure

    @property
    def take(self) -> int:
        """The best where it is better than the default, else the default."""
        against = self.findings[self.best].against_default
        return self.best if against is not None and against.verdict == "better" else 0


def parse(method: str, given: Sequence[str], task: Task = "classification") -> dict[str, tuple[Any, ...]]:
    """The values of each setting from `rate=1e-3,3e-3` and the like.

    Raises
    ------
    UsageError : no such method or setting, no value, or one of another kind, with what there is.
    """
    cls = method_class(method, task)
    found: dict[str, tuple[Any, ...]] = {}
    for text in given:
        name, equals, values = text.partition("=")
        name = name.strip()
        if not equals or not name or not values.strip():
            raise UsageError(f"--set {text!r} is no setting. Write it like --set rate=1e-3,3e-3.")
        if name in found:
            raise UsageError(f"--set {name} is given twice. Put its values behind one another: {name}=1,2.")
        field = _field(cls, name)
        parsed = [_value(cls, field, value.strip()) for value in values.split(",")]
        found[name] = tuple(dict.fromkeys(parsed))
    return found


def candidates(
    default: Method, choices: Mapping[str, Sequence[Any]], *, backbone: str, template: Template = PLAIN
) -> list[Candidate]:
    """Every combination with its recipe, the method as it is by default first, none twice.

    Raises
    ------
    UsageError : an unknown setting, or more combinations than `MOST`.
    """
    for name in choices:
        _field(type(default), name)
    count = math.prod(len(values) for values in choices.values())
    if not choices or count > MOST:
        raise UsageError(
            f"The grid has {count if choices else 'no'} combinations. Give 1 to {MOST} with --set NAME=VALUE,VALUE."
        )
    tried = [{name: getattr(default, name) for name in choices}]
    tried += [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
    found: dict[str, Candidate] = {}
    for settings in tried:
        recipe = Recipe(dataclasses.replace(default, **settings), backbone, template)
        found.setdefault(recipe.hash, (settings, recipe))
    return list(found.values())


def judge(
    evaluator: Evaluator,
    tried: Sequence[Candidate],
    *,
    halving: bool = True,
    margin: float = MARGIN,
    risk: float = RISK,
) -> GridResult:
    """Judge the candidates on the evaluator's splits, the first being the default, which is never dropped.

    Parameters
    ----------
    halving : whether those clearly behind are judged no further.
    margin, risk : see `fewtune.study.halving.Halving`.

    Raises
    ------
    TrainingDiverged : the loss of every candidate did.
    BudgetSpent : before any split was judged by all.
    """
    halved = halve(evaluator, [recipe for _, recipe in tried], keep=(0,), margin=margin, risk=risk if halving else 0.0)
    level = 1 - CHANCE / max(1, len(tried) - 1)
    findings = tuple(_finding(evaluator, halved, place, settings, level) for place, (settings, _) in enumerate(tried))
    choosing = _choosing(evaluator, halved)
    return GridResult(findings, choosing.selected, choosing, halved, level)


def _finding(evaluator: Evaluator, halved: Halved, place: int, settings: dict[str, Any], level: float) -> Finding:
    halving = halved.halving
    judged, of_default = (len(halved.outcomes[one]) for one in (place, 0))
    rows, groups, held_out = halving.rows, halving.groups, halving.held_out
    score = against = None
    if judged:
        score = measured(_oof(evaluator, halved, place, judged), evaluator.seed)
    shared = min(judged, of_default)
    if place and shared:
        mine, default = (_oof(evaluator, halved, one, shared).row_scores for one in (place, 0))
        against = compare(mine, default, held_out[:shared], rows=rows, groups=groups, level=level)
    seconds = sum(outcome.seconds for outcome in halved.outcomes[place])
    dropped = next((one for one in halving.dropped if one.candidate == place), None)
    return Finding(settings, halved.recipes[place], judged, score, seconds, against, dropped)


def _oof(evaluator: Evaluator, halved: Halved, place: int, splits: int) -> OutOfFold:
    """What a candidate predicted, or wrote, for the rows that the first splits held out."""
    return out_of_fold(halved.outcomes[place][:splits], halved.halving.held_out[:splits], evaluator.context)


def _choosing(evaluator: Evaluator, halved: Halved) -> SelectionScore:
    """The choice among those judged to the end. Those dropped were behind by more than luck gives, so leaving them out
    of the draws changes next to nothing.
    """
    halving = halved.halving
    held_out = halving.held_out[: halving.judged]
    scores_RN = np.stack(
        [
            row_means(_oof(evaluator, halved, place, halving.judged).row_scores, held_out, halving.rows)
            for place in halving.survivors
        ]
    )
    seen = np.isfinite(scores_RN[0])
    groups = (
        None if halving.groups is None else [group for group, kept in zip(halving.groups, seen, strict=True) if kept]
    )
    found = bootstrap_bias_corrected(
        scores_RN[:, seen], groups=groups, seed=evaluator.seed, train_share=train_share(held_out, halving.rows)
    )
    return dataclasses.replace(found, selected=halving.survivors[found.selected])


def to_json(found: GridResult) -> dict[str, Any]:
    """Plain values: candidates in order, which to take and why, what choosing is worth, what was saved."""
    halving = found.halved.halving
    return {
        "metric": found.measure.name,
        "level": found.level,
        "margin": halving.margin,
        "risk": halving.risk,
        "looks": list(halving.stages[:-1]),
        "splits_judged": halving.judged,
        "unfinished": found.halved.unfinished,
        "runs": found.halved.runs,
        "runs_of_all": found.halved.of,
        "best": found.best,
        "take": found.take,
        "sentence": _sentence(found),
        "choosing": _choosing_json(found),
        "candidates": [_plain(one, found.measure) for one in found.findings],
    }


def _choosing_json(found: GridResult) -> dict[str, Any]:
    return {
        found.measure.name: found.measure.interval(found.choosing.interval).to_json(),
        "naive": found.measure.shown(found.choosing.naive),
        "optimism": found.choosing.optimism,
        "chosen_among": list(found.halved.halving.survivors),
        "frequency": list(found.choosing.frequency_R),
        "sentence": _caution(found),
    }


def _plain(one: Finding, measure: Measure) -> dict[str, Any]:
    return {
        "settings": {name: list(value) if isinstance(value, tuple) else value for name, value in one.settings.items()},
        "recipe": one.recipe.to_json(),
        "hash": one.recipe.hash,
        "splits": one.splits,
        measure.name: None if one.score is None else one.score.to_json(),
        "seconds": round(one.seconds, 2),
        "against_default": None if one.against_default is None else one.against_default.to_json(),
        "dropped": None if one.dropped is None else one.dropped.to_json() | {"sentence": why(one.dropped, measure)},
    }


def why(dropped: Dropped, measure: Measure = ACCURACY) -> str:
    """When a candidate was dropped, and for what."""
    if dropped.reason:
        return dropped.reason
    return (
        f"after {dropped.after} splits {measure.gain(dropped.behind)} behind the best, "
        f"more than the {measure.gain(dropped.limit).split()[0]} that luck allows"
    )


def _sentence(found: GridResult) -> str:
    if found.findings[found.take].splits == 0:
        return "The default could not be judged: its loss diverged. No setting can be held against it."
    if found.take:
        against = found.findings[found.take].against_default
        assert against is not None
        taken = named(found.findings[found.take].settings)
        return f"{taken} is better than the default, by {found.measure.gain(against.difference)} on these rows."
    if found.best == 0:
        return "No setting beats the default: keep it."
    return "No setting can be told apart from the default upwards with this much data: keep the default."


def _caution(found: GridResult) -> str:
    measure, among = found.measure, len(found.halved.halving.survivors)
    interval = measure.interval(found.choosing.interval)
    if len(found.findings) == 1:
        return "Nothing was chosen."
    best = found.findings[found.best]
    assert best.score is not None
    return (
        f"{measure.say(best.score.mean)} is the best of {len(found.findings)} settings on the rows it was chosen by, "
        f"and so too good. Choosing again among the {among} judged to the end, on drawn rows, and scoring the choice "
        f"on the others gives {measure.say(interval.mean)} ({measure.number(interval.low)} to "
        f"{measure.number(interval.high)})."
    )


def named(settings: Mapping[str, Any]) -> str:
    """Settings as a person reads them."""
    return ", ".join(f"{name} {shown(value)}" for name, value in settings.items())


def shown(value: Any) -> str:
    """A value as `parse` reads it."""
    if isinstance(value, tuple | list):
        return LIST_MARK.join(map(shown, value)) or "all"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _field(cls: type[Method], name: str) -> dataclasses.Field[Any]:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if name not in fields:
        there = f"It has {', '.join(fields)}." if fields else "It has none."
        raise UsageError(f"{cls.title} has no setting called {name!r}. {there}")
    return fields[name]


def _value(cls: type[Method], field: dataclasses.Field[Any], text: str) -> Any:
    kind = typing.get_type_hints(cls)[field.name]
    try:
        value = _parsed(kind, text)
    except ValueError as error:
        raise UsageError(f"--set {field.name}: {text!r} is no {_named(kind)}.") from error
    _check_sense(field, value)
    return value


def _parsed(kind: Any, text: str) -> Any:
    options = typing.get_args(kind)
    if isinstance(kind, UnionType):
        if NoneType in options and text.lower() in ("none", ""):
            return None
        return _parsed(next(option for option in options if option is not NoneType), text)
    if typing.get_origin(kind) is tuple:
        return tuple(_parsed(options[0], part.strip()) for part in text.split(LIST_MARK) if text not in ("", "all"))
    if kind is bool:
        known = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
        if text.lower() not in known:
            raise ValueError(text)
        return known[text.lower()]
    value = kind(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)
    return value


def _named(kind: Any) -> str:
    options = typing.get_args(kind)
    if isinstance(kind, UnionType):
        return f"{_named(next(option for option in options if option is not NoneType))} (or none)"
    if typing.get_origin(kind) is tuple:
        return f"list of {_named(options[0])}s with {LIST_MARK} between them"
    return {bool: "yes or no", int: "whole number", float: "number"}.get(kind, "word")


def _check_sense(field: dataclasses.Field[Any], value: Any) -> None:
    """Settings count or weigh something: none is negative, and what counts at least one by default is not 0."""
    numbers = [one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, int | float)]
    counts = isinstance(field.default, int) and not isinstance(field.default, bool) and field.default >= 1
    shares = "dropout" in field.name or "smoothing" in field.name or "share" in field.name
    for number in numbers:
        if number < 0 or (counts and number < 1) or (shares and number >= 1):
            allowed = "0 or more and below 1" if shares else "1 or more" if counts else "0 or more"
            raise UsageError(f"--set {field.name}: {number:g} makes no sense there. It must be {allowed}.")


__all__ = ["Finding", "GridResult", "candidates", "judge", "named", "parse", "shown", "to_json", "why"]
