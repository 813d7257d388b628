"""Put `result.json` together where preferences were learned: the shape every fit has, with what preferences are
scored by, and what learning them cost.

Legend: N rows, J splits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.data.preferences import are_pairs
from fewtune.metrics.base import FloatArray, OutOfFold, row_means
from fewtune.metrics.corpus import RowStatistics, mean_of, ratio
from fewtune.metrics.generation import interval_json
from fewtune.metrics.intervals import design_effect
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.paired import Comparison, compare
from fewtune.metrics.preference import margins, moved_right
from fewtune.metrics.resampling import Resampling, corpus_intervals
from fewtune.report.assemble import comparison_entry, rung_entry, winner_entry
from fewtune.report.preferred_words import advice_of, sentence_of
from fewtune.report.resampling import dealt, resampling
from fewtune.report.result import versions, without_classes
from fewtune.study.choice import FIRST_STAGE
from fewtune.study.keeping import against_first, first_stage

if TYPE_CHECKING:
    from fewtune.study.budget import Budget
    from fewtune.study.ladder import Climb
    from fewtune.study.settings import Settings
    from fewtune.tune.run import Context

LADDER_DRAWS, HEADLINE_DRAWS = 300, 1000


def build_preferred(climb: Climb, context: Context, settings: Settings, budget: Budget) -> dict[str, Any]:
    """The result of a preference tuning; the test file comes later."""
    dataset, first = context.dataset, first_stage(climb)
    shown = first if climb.rungs[climb.winner].recipe.method.name == FIRST_STAGE else climb.headline
    result = without_classes(dataset, settings, budget) | {
        "pairs": are_pairs(dataset),
        "first_stage": settings.backbones[0],
        "versions": versions() | trl_version(),
        "resampling": _resampling(climb, context, given=settings.splits is not None),
        "winner": winner_entry(climb, preference_scores(shown, first, draws=HEADLINE_DRAWS)),
        "ladder": _ladder(climb, context),
        "selection": _selection(climb),
    }
    finish_preferred(result, climb, budget)
    return result


def finish_preferred(result: dict[str, Any], climb: Climb, budget: Budget) -> None:
    """Verdict and time, once everything else is in."""
    tuned = [rung for rung in climb.rungs if rung.judged is not None and rung.recipe.method.name != FIRST_STAGE]
    found: dict[str, Any] = {"tuned": bool(tuned)}
    if tuned:
        first = first_stage(climb)
        found["tried"] = preference_scores(climb.headline, first)
        found["first"] = preference_scores(first, first)
        found["against_first"] = plain_comparison(against_first(climb, climb.headline))
        found["loss_against_first"] = plain_comparison(costs_against(climb.headline, first), "bits_per_byte")
    found["sentence"] = sentence_of(result, found)
    result["verdict"] = found | {"advice": advice_of(result, found)}
    result["seconds"] = round(budget.spent, 2)


def preference_scores(oof: OutOfFold, first: OutOfFold, *, draws: int = LADDER_DRAWS) -> dict[str, Any]:
    """Scores with intervals of held-out preferences: rows are averaged over repeats, one group counts as one.

    Parameters
    ----------
    first : what the first stage made of the same rows; `reward_accuracy` and `margin` are against it.
    """
    rows, tested = len(oof.labels_N), oof.tested_N
    groups = None if oof.groups is None else [oof.groups[row] for row in tested]
    stretch = float(np.sqrt(design_effect(oof.held_out, rows))) if len(oof.held_out) > 1 else 1.0
    plan = Resampling.of(len(tested), groups, draws=draws, stretch=stretch)
    scores = [mean_of("accuracy", row_means(oof.row_scores, oof.held_out, rows)[tested])]
    gained = _gains(oof, first)
    gained_N = row_means(gained, oof.held_out, rows)[tested]
    if gained_N.any():
        wins = [moved_right(gained_B, np.zeros_like(gained_B)) for gained_B in gained]
        scores.append(mean_of("reward_accuracy", row_means(wins, oof.held_out, rows)[tested]))
        stats_NF = np.stack([gained_N, np.ones_like(gained_N)], axis=1)
        scores.append(RowStatistics("margin", stats_NF, ratio, bounds=(-np.inf, np.inf)))
    found = corpus_intervals(scores, plan)
    return {name: interval_json(found[name]) for name in (score.name for score in scores)} | _costs(oof, draws, stretch)


def _gains(oof: OutOfFold, first: OutOfFold) -> list[FloatArray]:
    """J arrays [B]: by how many nats each preference grew against the first stage."""
    mine, theirs = oof.written or (), first.written or ()
    if oof.rejected is not None and first.rejected is not None:
        after = [margins(*both) for both in zip(mine, oof.rejected, strict=True)]
        before = [margins(*both) for both in zip(theirs, first.rejected, strict=True)]
        return [a - b for a, b in zip(after, before, strict=True)]
    assert oof.wanted_N is not None
    signs = [np.where(oof.wanted_N[rows_B], 1.0, -1.0) for rows_B in oof.held_out]
    return [sign_B * (b.nll - a.nll) for sign_B, a, b in zip(signs, mine, theirs, strict=True)]


def _costs(oof: OutOfFold, draws: int, stretch: float) -> dict[str, Any]:
    """What the better answers cost: the chosen ones, or those that are wanted."""
    good = wanted_only(oof)
    rows, tested = len(good.labels_N), good.tested_N
    means = [
        row_means([np.asarray(getattr(one, name), dtype=np.float64) for one in good.written or ()], good.held_out, rows)
        for name in ("nll", "tokens", "bytes")
    ]
    likelihoods = Likelihoods.of(means[0][tested], means[1][tested], bytes_N=means[2][tested])
    groups = None if good.groups is None else [good.groups[row] for row in tested]
    plan = Resampling.of(len(tested), groups, draws=draws, stretch=stretch)
    found = corpus_intervals([likelihoods.loss(), likelihoods.bits_per_byte()], plan)
    return {name: interval_json(one) for name, one in found.items()}


def wanted_only(oof: OutOfFold) -> OutOfFold:
    """The better answers alone, compared by what they cost."""
    if oof.wanted_N is None:
        return replace(oof, rejected=None)
    kept = [(rows_B, np.flatnonzero(oof.wanted_N[rows_B])) for rows_B in oof.held_out]
    parts = [(rows_B[good], place, good) for place, (rows_B, good) in enumerate(kept) if len(good)]
    return OutOfFold(
        oof.labels_N,
        tuple(rows_B for rows_B, _, _ in parts),
        tuple(oof.probs[place][good] for _, place, good in parts),
        oof.groups,
        tuple((oof.written or ())[place].subset(good) for _, place, good in parts),
    )


def costs_against(mine: OutOfFold, other: OutOfFold) -> Comparison:
    """By how many bits per byte fewer the better answers cost."""
    a, b = wanted_only(mine), wanted_only(other)
    return compare(a.row_scores, b.row_scores, a.held_out, rows=len(a.labels_N), groups=a.groups)


def plain_comparison(found: Comparison, metric: str = "") -> dict[str, Any]:
    """A comparison with the first stage, as plain values."""
    return comparison_entry(found, FIRST_STAGE, metric=metric)


def _ladder(climb: Climb, context: Context) -> list[dict[str, Any]]:
    plain, first = [], first_stage(climb)
    for rung in climb.rungs:
        name = context.language_models[rung.recipe.backbone].name
        entry = rung_entry(rung, name, lambda judged: preference_scores(judged.oof, first))
        if rung.judged is not None and rung.recipe.method.name != FIRST_STAGE:
            entry["against_first"] = plain_comparison(against_first(climb, rung.judged.oof))
            entry["loss_against_first"] = plain_comparison(costs_against(rung.judged.oof, first), "bits_per_byte")
        plain.append(entry)
    return plain


def _resampling(climb: Climb, context: Context, *, given: bool) -> dict[str, Any]:
    found = resampling(climb, context)
    sentence = (
        f"Every candidate was fitted {found['splits']} times, {dealt(found, given=given)}. Each score is of "
        "preferences that the model had not seen, and method and length were chosen anew without them."
    )
    return {**found, "sentence": sentence}


def _selection(climb: Climb) -> dict[str, Any]:
    rule = (
        "of each method the length that finds most of the better answers, of the methods the simplest within one "
        "standard error of the best, and that is kept where the whole procedure is better than the first stage"
    )
    return {"rule": rule, "sentence": f"{climb.rungs[climb.winner].recipe.title}: {rule}.", "beliefs": []}


def trl_version() -> dict[str, str]:
    """Whose losses they are."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {"trl": version("trl")}
    except PackageNotFoundError:
        return {}


def is_kept(result: dict[str, Any]) -> bool:
    """Whether preference tuning was kept."""
    return bool(result["winner"]["name"] != FIRST_STAGE)


__all__ = ["build_preferred", "finish_preferred", "is_kept", "plain_comparison", "preference_scores"]
