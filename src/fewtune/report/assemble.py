"""From what the studies found to the plain `result.json` that everything else reads (see RESULT.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.metrics.base import OutOfFold
from fewtune.metrics.calibration import abstention, fit_temperature, log_probabilities, reliability
from fewtune.metrics.classification import classification_scores, expected_calibration_error
from fewtune.metrics.intervals import class_intervals, score_intervals
from fewtune.metrics.paired import Comparison, compare, constant_scores
from fewtune.model_folder import calibrated
from fewtune.report.advice import advise
from fewtune.report.overfit import overfitting

if TYPE_CHECKING:
    from fewtune.audit.base import Finding
    from fewtune.audit.label_errors import Suspect
    from fewtune.data.base import Dataset
    from fewtune.study.choice import Belief
    from fewtune.study.evaluator import Judged
    from fewtune.study.ladder import Climb
    from fewtune.study.learning_curve import Curve
    from fewtune.study.rung import Rung

FORMAT = 1
DRAWS = 1000
UNSURE_ROWS = 15
_NAMES = {"ece": "calibration_error"}
BETTER = "better"


@dataclass(frozen=True)
class Calibration:
    """Temperature from the winner's out-of-fold predictions, and what it does to the headline's."""

    temperature: float
    threshold: float | None
    plain: dict[str, Any]
    abstain: dict[str, Any]


def calibrate(climb: Climb, target: float) -> Calibration:
    """Fit the temperature out of fold; the threshold is measured at that temperature."""
    oof = climb.winning.oof.only_tested()
    temperature = fit_temperature(log_probabilities(oof.probs_MC), oof.labels_M)
    probs_NC = calibrated(oof.mean_probs_NC, temperature)
    after_MC = calibrated(oof.probs_MC, temperature)
    found = abstention(probs_NC, oof.labels_N, target_precision=target)
    plain = {
        "temperature": temperature,
        "error_before": expected_calibration_error(oof.labels_M, oof.probs_MC),
        "error_after": expected_calibration_error(oof.labels_M, after_MC),
        "bins": [
            {"rows": b.count, "confidence": b.confidence, "accuracy": b.accuracy, "low": b.low, "high": b.high}
            for b in reliability(oof.labels_N, probs_NC)
        ],
    }
    abstain = {
        "target": target,
        "threshold": found.threshold,
        "coverage": found.coverage,
        "precision": None if found.precision is None else interval(found.precision),
        "rows": found.rows_kept,
        "reason": found.reason,
    }
    return Calibration(temperature, found.threshold, plain, abstain)


def interval(found: Any) -> dict[str, float]:
    """Mean, low, high."""
    return {"mean": float(found.mean), "low": float(found.low), "high": float(found.high)}


def scores(oof: OutOfFold, *, draws: int = DRAWS) -> dict[str, dict[str, float]]:
    """Every metric with its interval."""
    return {_NAMES.get(name, name): interval(i) for name, i in score_intervals(oof, draws=draws, seed=0).items()}


def per_class(oof: OutOfFold, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class with intervals; of a class without rows there is no recall and no F1, and
    no precision where it is never the answer.
    """
    sizes = np.bincount(oof.labels_N, minlength=len(classes))
    answers = np.bincount(oof.probs_MC.argmax(1), minlength=len(classes))
    plain: list[dict[str, Any]] = []
    for place, (name, found) in enumerate(zip(classes, class_intervals(oof), strict=True)):
        entry: dict[str, Any] = {"name": name, "rows": int(sizes[place])}
        entry |= {key: interval(value) for key, value in found.items()}
        if not sizes[place]:
            entry |= {"recall": None, "f1": None, **({} if answers[place] else {"precision": None})}
        plain.append(entry)
    return plain


def confusion(oof: OutOfFold, classes: Sequence[str]) -> list[list[int]]:
    """One prediction a row: the class most probable on average over repeats."""
    oof = oof.only_tested()
    found = classification_scores(oof.labels_N, oof.mean_probs_NC, classes).confusion
    return [[round(count) for count in row] for row in found]


def against(mine: Judged | OutOfFold, other: Judged | OutOfFold, name: str) -> dict[str, Any]:
    """The paired comparison of two sets of predictions on the same splits."""
    a = mine if isinstance(mine, OutOfFold) else mine.oof
    b = other if isinstance(other, OutOfFold) else other.oof
    return comparison_entry(compare(a.correct, b.correct, a.held_out, rows=len(a.labels_N), groups=a.groups), name)


def against_majority(oof: OutOfFold) -> dict[str, Any]:
    """Against always answering the commonest class of all rows.

    Not against the majority rung: refitted in each fold it falls below chance on balanced classes, and would be beaten
    by label-shuffled data (see `constant_scores`).
    """
    constant = constant_scores(oof.labels_N, oof.held_out)
    found = compare(oof.correct, constant, oof.held_out, rows=len(oof.labels_N), groups=oof.groups)
    return comparison_entry(found, "majority")


def comparison_entry(found: Comparison, other: str, *, metric: str = "") -> dict[str, Any]:
    """A comparison with `other`, as a result holds it; `metric` is what was compared, where there are several."""
    keys = ("difference", "low", "high", "p", "verdict", "rows_needed", "rows_needed_for")
    return {"other": other, **({"metric": metric} if metric else {}), **{key: getattr(found, key) for key in keys}}


def ladder(climb: Climb, backbones: dict[str, str]) -> list[dict[str, Any]]:
    """Every rung, judged or not."""
    plain, below = [], None
    for rung in climb.rungs:
        name = backbones.get(rung.recipe.backbone) if rung.recipe.method.reads_text else None
        entry = rung_entry(rung, name, lambda judged: scores(judged.shown, draws=200))
        if rung.judged is not None:
            entry |= _comparisons(climb, rung.judged, below)
            below = rung
        plain.append(entry)
    return plain


def rung_entry(rung: Rung, backbone: str | None, cv: Callable[[Judged], dict[str, Any]]) -> dict[str, Any]:
    """One rung, whatever it is scored by: `cv` gives the scores of one that was judged."""
    recipe = rung.recipe
    entry: dict[str, Any] = {
        "name": recipe.method.name,
        "title": recipe.title,
        "backbone": backbone,
        "recipe": recipe.to_json(),
        "status": "skipped" if rung.judged is None else "judged",
    }
    if rung.judged is None:
        return entry | {"reason": rung.reason, "reseeded": 0, "notes": [], "curves": []}
    outcomes = rung.judged.outcomes
    logs = [(number, outcome.log) for number, outcome in enumerate(outcomes) if outcome.log is not None]
    curves = [{"split": number, **log.to_json()} for number, log in logs if log.validation_steps]
    notes = tally([note for outcome in outcomes for note in outcome.notes])
    return entry | {
        "seconds": round(rung.judged.seconds, 2),
        "trainable_parameters": max(outcome.trainable_parameters for outcome in outcomes),
        "cv": cv(rung.judged),
        **({} if rung.closeness is None else {"closeness": rung.closeness}),
        "reseeded": sum(log.reseeded for _, log in logs),
        "notes": notes,
        "curves": curves[:1],
        "overfit": overfitting(logs[0][1]) if logs else None,
    }


def tally(notes: Sequence[str]) -> list[str]:
    """Distinct notes with how many runs made them, commonest first, at most four."""
    order = sorted(Counter(notes).items(), key=lambda pair: (-pair[1], pair[0]))
    return [f"{note} (in {count} of {len(notes)} runs)" for note, count in order[:4]]


def _comparisons(climb: Climb, judged: Judged, below: Rung | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if below is not None and below.judged is not None:
        recipe = below.recipe
        found["against_below"] = against(judged, below.judged.shown, recipe.method.name) | {"other_title": recipe.title}
    if judged is not judged_rung(climb, "majority"):
        found["against_majority"] = against_majority(judged.oof)
    zero_shot = untaught(climb)
    if zero_shot is not None and zero_shot is not judged:
        found["against_zero_shot"] = against(judged, zero_shot, zero_shot.recipe.method.name)
    return found


def untaught(climb: Climb) -> Judged | None:
    """The first judged rung that reads no label: by class names, or asked for the label in words."""
    names = ("zero_shot", "label_zero_shot")
    return next((found for name in names if (found := judged_rung(climb, name)) is not None), None)


def judged_rung(climb: Climb, method: str) -> Judged | None:
    """The first judged rung of a method."""
    for rung in climb.rungs:
        if rung.recipe.method.name == method and rung.judged is not None:
            return rung.judged
    return None


def selection(climb: Climb, beliefs: Sequence[Belief]) -> dict[str, Any]:
    """How the choice was made, in numbers and in a sentence."""
    titles = [climb.rungs[place].recipe.title for place in climb.judged]
    names = [climb.rungs[place].recipe.method.name for place in climb.judged]
    winner = climb.judged.index(climb.winner)
    belief = beliefs[winner]
    plain = [
        {
            "name": name,
            "title": title,
            "observed": b.observed,
            "observed_error": b.observed_error,
            "prior": b.prior_mean,
            "prior_spread": b.prior_spread,
            "posterior": b.mean,
            "posterior_spread": b.spread,
            "data_weight": b.data_weight,
        }
        for name, title, b in zip(names, titles, beliefs, strict=True)
    ]
    rule = (
        "the simplest rung within one standard deviation of the best, after the paired differences to the probe "
        "have updated what is published about each method"
    )
    sentence = f"{titles[winner]} was chosen: {rule}."
    if belief.prior_spread > 0 and belief.data_weight < 0.5:
        sentence += (
            f" With this few labels your own data carry {100 * belief.data_weight:.0f} % of that judgement; "
            "published results carry the rest."
        )
    return {"rule": rule, "sentence": sentence, "beliefs": plain}


def winner(climb: Climb, classes: Sequence[str], calibration: Calibration) -> dict[str, Any]:
    """The headline: predictions of the whole procedure, choice included."""
    return winner_entry(climb, scores(climb.headline)) | {
        "per_class": per_class(climb.headline, classes),
        "confusion": confusion(climb.headline, classes),
        "calibration": calibration.plain,
        "abstain": calibration.abstain,
    }


def winner_entry(climb: Climb, cv: dict[str, Any]) -> dict[str, Any]:
    """Which rung won, its scores, and how often each method is picked, whatever rungs are scored by."""
    rung = climb.rungs[climb.winner]
    picked = Counter(climb.rungs[place].recipe.method.name for place in climb.chosen)  # on whichever backbone
    return {
        "name": rung.recipe.method.name,
        "title": rung.recipe.title,
        "recipe": rung.recipe.to_json(),
        "rung": climb.winner,
        "cv": cv,
        "selected_share": {name: count / len(climb.chosen) for name, count in sorted(picked.items())},
    }


def curve(found: Curve) -> dict[str, Any]:
    """The learning curve."""
    points = [{"rows": point.rows, "accuracy": interval(point.accuracy)} for point in found.points]
    forecast = None
    if found.forecast is not None and found.gain is not None:
        accuracy, gain = interval(found.forecast.accuracy), interval(found.gain)
        forecast = {"rows": found.forecast.rows, "accuracy": accuracy, "gain": gain}
    return {"method": found.method, "points": points, "sentence": found.sentence, "forecast": forecast}


def verdict(climb: Climb, result: dict[str, Any]) -> dict[str, Any]:
    """The sentence at the top, and what to do next."""
    zero_shot = untaught(climb)
    found: dict[str, Any] = {"against_majority": against_majority(climb.headline)}
    if zero_shot is not None:
        found["against_zero_shot"] = against(climb.headline, zero_shot, zero_shot.recipe.method.name)
    found["sentence"] = _blocked(result) + _sentence(result["winner"], found, result.get("test"))
    return found | {"advice": advise(result, found)}


def _blocked(result: dict[str, Any]) -> str:
    """What stands before every number where something in the rows gives the label away."""
    blocking = next((one["what"] for one in result["warnings"] if one["severity"] == "blocks"), None)
    return "" if blocking is None else f"Do not believe this score yet: {blocking} Without that, for what it is worth: "


def _sentence(winning: dict[str, Any], found: dict[str, Any], test: dict[str, Any] | None) -> str:
    accuracy = winning["cv"]["accuracy"]
    percent = [100 * accuracy[key] for key in ("mean", "low", "high")]
    told = f"{percent[0]:.1f} % of new texts right ({percent[1]:.1f} to {percent[2]:.1f})"
    if found["against_majority"]["verdict"] != BETTER:
        return (
            f"Do not rely on this model: at {told} it is no better than the majority class "
            "as far as these labels can tell."
        )
    sentence = f"{winning['title']}: expect {told}, better than the majority class"
    zero_shot = found.get("against_zero_shot")
    if zero_shot is None:
        sentence += "."
    elif zero_shot["verdict"] == BETTER:
        sentence += " and than zero-shot."
    else:
        sentence += f"; against zero-shot with no labels at all: {zero_shot['verdict']}."
    return sentence + _test_clause(test, accuracy)


def _test_clause(test: dict[str, Any] | None, claimed: dict[str, float]) -> str:
    """What the person's own test file says of it, where the two cannot both be right."""
    found = (test or {}).get("accuracy")
    if found is None:
        return ""
    if found["low"] <= claimed["high"] and claimed["low"] <= found["high"]:
        return ""
    side = "lower" if found["mean"] < claimed["mean"] else "higher"
    return (
        f" The test file says otherwise: {100 * found['mean']:.1f} % right, clearly {side}; its rows are of another "
        "kind than the training rows."
    )


def unsure(climb: Climb, dataset: Dataset, temperature: float) -> list[dict[str, Any]]:
    """The rows whose best class is least probable."""
    oof = climb.winning.oof
    seen = dataset.subset(oof.tested_N)
    probs_NC = calibrated(oof.mean_probs_NC[oof.tested_N], temperature)
    rows = np.argsort(probs_NC.max(1), kind="stable")[:UNSURE_ROWS]
    return [_unsure_row(seen, int(row), probs_NC[row]) for row in rows]


def _unsure_row(dataset: Dataset, row: int, probs_C: Any) -> dict[str, Any]:
    example = dataset.examples[row]
    best = np.argsort(-probs_C, kind="stable")[:3]
    top = [{"label": dataset.classes[int(c)], "probability": float(probs_C[c])} for c in best]
    return {"row": example.row, "id": example.id, "text": example.text, "given": example.label, "top": top}


def suspects(found: Sequence[Suspect], dataset: Dataset) -> list[dict[str, Any]]:
    """Rows most likely mislabelled."""
    return [
        {
            "row": dataset.examples[s.index].row,
            "id": dataset.examples[s.index].id,
            "text": dataset.examples[s.index].text,
            "given": s.given,
            "suggested": s.suggested,
            "probability_given": s.probability_given,
            "probability_suggested": s.probability_suggested,
        }
        for s in found
    ]


def warnings(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """What the rows have that a score should not be believed without, the gravest first."""
    return [
        {
            "check": finding.check,
            "severity": finding.severity,
            "what": finding.what,
            "reason": finding.reason,
            "do": finding.do,
            "rows": [row.row for row in finding.rows],
            "numbers": dict(finding.numbers),
        }
        for finding in found
    ]


def test_block(oof: OutOfFold, classes: Sequence[str]) -> dict[str, Any]:
    """Scores on the person's own test file: the rows of it that are not leaked."""
    return {
        **scores(oof),
        "per_class": per_class(oof, classes),
        "confusion": confusion(oof, classes),
    }
