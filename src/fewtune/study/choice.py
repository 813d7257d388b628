"""Which rung wins: what the data say, leaning on published evidence exactly as far as the data are too few to speak.

With 16 labelled rows a paired comparison has a standard error of 12 points: by "the simplest within one standard
error" nothing would ever beat the probe, although published results put some methods points above it. So each method
carries a prior for its true advantage over the probe, a mean, which fades slowly as labels grow, and a standard
deviation; the paired comparison, of how clearly rows are right (`metrics/margins.py`), updates it (normal prior,
normal likelihood), and the rule is applied to the posterior:

    the simplest rung whose posterior disadvantage to the best is within one posterior standard deviation.

A method that goes on from another (a second round of tuning, a longer first one) is expected to be as good as that
one, and a step more: its prior is of the step, and so is the comparison that updates it.

Majority and zero-shot learn nothing from the labels: they are what the others are held against, and win only where
they come out best outright.

With a few hundred rows the data outweigh the prior; the page says how much each weighed.

Legend: R candidates, J splits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fewtune.methods.base import FloatArray, IntArray
from fewtune.metrics.base import OutOfFold
from fewtune.metrics.intervals import Groups
from fewtune.metrics.margins import clearness
from fewtune.study.simplicity import BASELINES, simplest
from fewtune.study.writers import best_writer

REFERENCE = "probe"
FIRST_STAGE = "first_stage"
"""What preference tuning starts from."""
FADES_FROM = 8
"""Labelled rows a class up to which priors stand in full."""
FADES_WITH = 1 / 3
"""Beyond, means fade with this power of 8 / rows: contrastive tuning is worth as much over the probe at 64 rows a class
as at 8, or nearly (`benchmarks/fewshot/worth.py`), and 6 points, which fits the few-shot sets at 8, are 3 there."""


@dataclass(frozen=True)
class Prior:
    """True advantage in accuracy over another method, at up to 8 rows a class."""

    mean: float
    spread: float
    source: str
    over: str = REFERENCE
    """The method it is an advantage over: of one that goes on from another, what the going on is worth."""


PRIORS: dict[str, Prior] = {
    "majority": Prior(-0.25, 0.20, "vague: text nearly always tells something"),
    "zero_shot": Prior(-0.15, 0.10, "the probe starts from the same names and stays near them where that is best"),
    "probe": Prior(0.0, 0.0, "the reference"),
    "self_training": Prior(0.01, 0.03, "self-training on sentence embeddings, small gains with a guard"),
    "contrastive": Prior(0.06, 0.04, "SetFit against its own frozen probe: +4 to +11 on four sets, -0.3 on one"),
    "contrastive_pool": Prior(0.02, 0.015, "two rounds against one on 12 draws of six sets (LAB.md)", "contrastive"),
    "lora": Prior(0.0, 0.05, "few-shot cross-entropy tuning: gains and losses about equally often"),
    "top_layers": Prior(0.0, 0.05, "few-shot cross-entropy tuning: gains and losses about equally often"),
    "full": Prior(0.0, 0.05, "few-shot cross-entropy tuning: gains and losses about equally often"),
    "prompt_tuning": Prior(-0.02, 0.05, "vague: behind tuning for models this small (Lester and others 2021)"),
    "label_zero_shot": Prior(-0.15, 0.20, "vague: grows with the model that is asked, from chance upwards"),
    "label_few_shot": Prior(-0.05, 0.20, "vague: grows with the model that is asked"),
    "label_lora": Prior(0.0, 0.10, "vague: gains are reported for large models, and the starter lost"),
}
UNKNOWN = Prior(0.0, 0.05, "no published evidence")
LONGER = Prior(0.0, 0.03, "vague: two points more on 15 draws of four tasks, 32 and 64 rows a class; -0.1 to 6")
OTHER_BACKBONE = Prior(0.0, 0.05, "the reference method on another backbone")


@dataclass(frozen=True)
class Belief:
    """What is believed of one candidate's advantage over the reference."""

    observed: float
    observed_error: float
    prior_mean: float
    prior_spread: float
    mean: float
    spread: float

    @property
    def data_weight(self) -> float:
        """Share of the posterior that is the data's: 1 when the prior no longer matters."""
        if self.observed_error == 0 or self.prior_spread == 0:
            return 1.0
        return 1 - (self.spread / self.prior_spread) ** 2


@dataclass(frozen=True)
class Candidate:
    """What the choice needs to know of one rung, simplest first."""

    method: str
    oof: OutOfFold
    longer_than: int | None = None
    """The place of the same method at its own length, where this one was tried for longer."""


def choose(
    candidates: Sequence[Candidate], rows_per_class: float = 1.0, left_out: IntArray | None = None
) -> tuple[int, list[Belief]]:
    """Index of the winner, and the beliefs it rests on (none but for classifiers).

    Parameters
    ----------
    rows_per_class : fades what is believed of classifiers.
    left_out : rows that are not looked at: the choice inside a resample; None: all are.
    """
    first, methods = candidates[0].oof, [candidate.method for candidate in candidates]
    seen = _seen(first, left_out)
    held_out = [first.held_out[split][places] for split, places in seen]
    if first.written is None:
        labels = [first.labels_N[rows_B] for rows_B in held_out]
        clear = [clearness([c.oof.probs[split][places] for split, places in seen], labels) for c in candidates]
        starts = [_start(candidates, place) for place in range(len(candidates))]
        return _choose(clear, methods, starts, held_out, rows_per_class)
    scores = [[candidate.oof.row_scores[split][places] for split, places in seen] for candidate in candidates]
    if first.prefers:
        return best_tuned(scores, methods, held_out, first.groups), []
    written = [[(c.oof.written or ())[split].subset(places) for split, places in seen] for c in candidates]
    return best_writer(scores, written, methods, held_out, first.groups), []


def _seen(oof: OutOfFold, left_out: IntArray | None) -> list[tuple[int, IntArray]]:
    """Each split with the places of its held-out rows that are looked at, where there are any."""
    shown = np.ones(len(oof.labels_N), dtype=bool)
    if left_out is not None:
        shown[left_out] = False
    places = [(split, np.flatnonzero(shown[rows_B])) for split, rows_B in enumerate(oof.held_out)]
    return [(split, places_B) for split, places_B in places if len(places_B)]


def best_tuned(
    scores: Sequence[Sequence[FloatArray]], methods: Sequence[str], held_out: Sequence[IntArray], groups: Groups
) -> int:
    """The simplest of the preference tunings, the first stage aside; that, where nothing else was judged.

    Whether it is kept is another question: it is asked of the whole procedure, choosing included (`study/keeping.py`).
    """
    tuned = [place for place, method in enumerate(methods) if method != FIRST_STAGE]
    if not tuned:
        return 0
    return tuned[simplest([scores[place] for place in tuned], [methods[place] for place in tuned], held_out, groups)]


@dataclass(frozen=True)
class _Start:
    """What a candidate goes on from, and what is expected of the step."""

    place: int
    step: Prior


def _start(candidates: Sequence[Candidate], place: int) -> _Start | None:
    """Where a candidate starts; None: by itself, or what it goes on from was not judged."""
    candidate = candidates[place]
    if candidate.longer_than is not None:
        return _Start(candidate.longer_than, LONGER)
    over = goes_on_from(candidate.method)
    for earlier in reversed(range(place)):  # the last before it is of its backbone
        if candidates[earlier].method == over and candidates[earlier].longer_than is None:
            return _Start(earlier, _step(candidate.method))
    return None


def _choose(
    scores: Sequence[Sequence[FloatArray]],
    methods: Sequence[str],
    starts: Sequence[_Start | None],
    held_out: Sequence[IntArray],
    rows_per_class: float,
) -> tuple[int, list[Belief]]:
    reference = methods.index(REFERENCE) if REFERENCE in methods else 0
    error = _paired_error(held_out)
    beliefs: list[Belief] = []
    for place, (candidate, method, start) in enumerate(zip(scores, methods, starts, strict=True)):
        prior = faded(over_reference(method) if start is None else start.step, rows_per_class)
        if prior.spread == 0 and place != reference:
            prior = OTHER_BACKBONE
        against = reference if start is None else start.place
        belief = _update(prior, *error(candidate, scores[against]), is_reference=place == reference)
        if start is not None:
            belief = _on_top(beliefs[start.place], belief, *error(candidate, scores[reference]))
        beliefs.append(belief)
    best = int(np.argmax([round(belief.mean, 9) for belief in beliefs]))

    def apart(one: int, other: int) -> float:
        """The expected spread of the difference between two candidates."""
        for place, earlier in ((one, other), (other, one)):
            start = starts[place]
            if start is not None and start.place == earlier:
                return start.step.spread
        return float(np.hypot(beliefs[one].prior_spread, beliefs[other].prior_spread))

    for index, belief in enumerate(beliefs):
        if methods[index] in BASELINES and index != best:
            continue
        spread = _combine(error(scores[best], scores[index])[1], apart(best, index))
        if beliefs[best].mean - belief.mean <= spread + 1e-9:
            return index, beliefs
    return best, beliefs


def _step(method: str) -> Prior:
    return PRIORS.get(method, UNKNOWN)


def goes_on_from(method: str) -> str | None:
    """The method whose run a method makes again before it goes on; None: it starts by itself."""
    over = _step(method).over
    return None if over == REFERENCE else over


def over_reference(method: str) -> Prior:
    """What is expected of a method over the probe, through whatever it goes on from."""
    step = _step(method)
    if step.over == REFERENCE:
        return step
    start = over_reference(step.over)
    return Prior(start.mean + step.mean, float(np.hypot(start.spread, step.spread)), step.source)


def _on_top(start: Belief, step: Belief, observed: float, observed_error: float) -> Belief:
    """What is believed of a candidate by what is believed of its start, and of the step from there."""
    return Belief(
        observed,
        observed_error,
        start.prior_mean + step.prior_mean,
        float(np.hypot(start.prior_spread, step.prior_spread)),
        start.mean + step.mean,
        float(np.hypot(start.spread, step.spread)),
    )


def faded(prior: Prior, rows_per_class: float) -> Prior:
    """The prior at this many rows a class."""
    share = min(1.0, FADES_FROM / max(rows_per_class, 1.0))
    return replace(prior, mean=prior.mean * share**FADES_WITH) if prior.mean > 0 else prior


def _paired_error(
    held_out: Sequence[IntArray],
) -> Callable[[Sequence[FloatArray], Sequence[FloatArray]], tuple[float, float]]:
    rows = len(np.unique(np.concatenate(list(held_out))))
    splits = len(held_out)
    test = float(np.mean([len(rows_B) for rows_B in held_out]))
    factor = 1 / splits + test / max(rows - test, 1.0)

    def error(mine: Sequence[FloatArray], other: Sequence[FloatArray]) -> tuple[float, float]:
        """Mean paired difference and its Nadeau-Bengio standard error, never below that of independent rows."""
        differences = [a - b for a, b in zip(mine, other, strict=True)]
        flat = np.concatenate(differences)
        corrected = factor * float(np.var([d.mean() for d in differences], ddof=1)) if splits > 1 else 0.0
        drawn = float(flat.var()) / rows
        # Two candidates that agree on every row of a small set may still differ: at most one disagreement was missed.
        least = (1.0 / (rows + 2)) ** 2
        return float(flat.mean()), float(np.sqrt(max(corrected, drawn, least)))

    return error


def _update(prior: Prior, observed: float, error: float, *, is_reference: bool) -> Belief:
    if is_reference:
        return Belief(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    precision = 1 / prior.spread**2 + 1 / error**2
    mean = (prior.mean / prior.spread**2 + observed / error**2) / precision
    return Belief(observed, error, prior.mean, prior.spread, mean, float(np.sqrt(1 / precision)))


def _combine(seen: float, expected: float) -> float:
    if seen == 0 or expected == 0:
        return 0.0
    return float(1 / np.sqrt(1 / seen**2 + 1 / expected**2))
