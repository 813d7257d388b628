"""All scores of what a system wrote, at once, and two systems held against each other in all of them.

`score_all` gives what `result.json` holds under `test`: `{name: {"mean", "low", "high"}}`, as for classification, with
the signature of each score beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from fewtune.errors import UsageError
from fewtune.metrics.answers import Answers
from fewtune.metrics.corpus import CorpusScore, RowStatistics
from fewtune.metrics.intervals import Groups, Interval
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.overlap import unread_by_rouge
from fewtune.metrics.own import OWN_DRAWS, OwnScore, own_score
from fewtune.metrics.paired import Comparison
from fewtune.metrics.paired_corpus import SWAPS, compare_texts
from fewtune.metrics.resampling import DRAWS, Resampling, corpus_intervals
from fewtune.metrics.slots import SlotCounter, sayable, slot_error
from fewtune.metrics.text_scores import MISSING, NAMES, Measured, chosen
from fewtune.plural import agreeing

UNREAD = 0.2
"""Share of letters beyond a to z from which ROUGE is said to be blind."""
SPLIT = 0.5
"""Share of references that end in a full stop of its own from which a text counts as already split into words."""


@dataclass(frozen=True)
class TextScores:
    """What a system's texts are worth."""

    rows: int
    intervals: dict[str, Interval]
    statistics: dict[str, CorpusScore]
    """What each was counted from, for paired tests (`compare_all`)."""
    absent: dict[str, str]
    """Scores that cannot be had, and why."""
    notes: tuple[str, ...]
    """What to know before quoting a number."""
    slot_errors: dict[str, float] | None = None
    """`missing`, `repeated`, `added`, `slots`, and the references' own rate as `references`."""

    @property
    def signatures(self) -> dict[str, str]:
        """How each was counted."""
        found = {name: getattr(score, "signature", "") for name, score in self.statistics.items()}
        return {name: signature for name, signature in found.items() if signature}

    def to_json(self) -> dict[str, Any]:
        """`{name: {"mean", "low", "high"}}`, then `rows`, `signatures`, `absent`, `notes`, `slot_errors`."""
        scores = {name: interval_json(found) for name, found in self.intervals.items()}
        beside = {"rows": self.rows, "signatures": self.signatures, "absent": self.absent, "notes": list(self.notes)}
        return scores | beside | {"slot_errors": self.slot_errors}


def interval_json(found: Interval) -> dict[str, float | None]:
    """As `result.json` has it: three numbers, null for one that is not finite."""
    values = {"mean": found.mean, "low": found.low, "high": found.high}
    return {key: float(value) if np.isfinite(value) else None for key, value in values.items()}


def score_all(
    answers: Answers | None = None,
    *,
    likelihoods: Likelihoods | None = None,
    likelihood_groups: Groups = None,
    scores: Sequence[str] | None = None,
    own: Sequence[str | Callable[..., Any] | OwnScore] = (),
    counter: SlotCounter | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = 0.95,
    stretch: float = 1.0,
) -> TextScores:
    """Every score that can be had, with its interval.

    Parameters
    ----------
    answers : what the system wrote and what it is held against.
    likelihoods : what the given completions cost the model; of the same rows or of others.
    likelihood_groups : of those rows; `answers.groups` where there are as many and none is given.
    scores : names from `NAMES`; all when not given.
    own : scores of the user's, as `name=path.py:function` or functions.
    counter : slot values learned from other rows (the training file); else from these.
    draws, seed, level : of the bootstrap.
    stretch : see `Resampling.stretch`; 1 for a test set.

    Raises
    ------
    UsageError
        For a name that is none, or a user's score that fails.
    """
    measured = Measured(answers, likelihoods, counter)
    wanted = chosen(scores)
    absent = {score.name: MISSING[score.needs] for score in wanted if not measured.has(score.needs)}
    if any(score.name == "slot_error" for score in wanted) and _nothing_sayable(measured):
        absent["slot_error"] = "no slot has a value that can be looked for"
    had = [score for score in wanted if score.name not in absent]
    built: dict[str, CorpusScore] = {score.name: score.build(measured) for score in had}
    planned = partial(Resampling.of, draws=draws, seed=seed, level=level, stretch=stretch)
    plans = _plans(measured, likelihood_groups, planned)
    intervals: dict[str, Interval] = {}
    for need, plan in plans.items():
        of_rows = [built[s.name] for s in had if (s.needs == "likelihoods") == (need == "likelihoods")]
        intervals |= corpus_intervals(of_rows, plan)
    for score in _own_scores(own, measured):
        built[score.name] = score
        plan = plans["texts"]
        fast = isinstance(score, RowStatistics)
        intervals |= corpus_intervals([score], plan if fast else replace(plan, draws=min(draws, OWN_DRAWS)))
    return TextScores(
        rows=next(iter(plans.values())).rows,
        intervals={name: intervals[name] for name in built},
        statistics=built,
        absent=absent,
        notes=tuple(_notes(measured, built)),
        slot_errors=_slot_errors(measured, built),
    )


def compare_all(
    a: TextScores,
    b: TextScores,
    *,
    groups: Groups = None,
    draws: int = DRAWS,
    swaps: int = SWAPS,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Comparison]:
    """System A against system B in every score both have on the same number of rows, by name.

    Parameters
    ----------
    a, b : scores of the same rows in the same order.
    groups : [N] rows with the same group count as one.
    draws, swaps, seed, level : as in `paired_corpus.compare_texts`.
    """
    found = {}
    for name, mine in a.statistics.items():
        theirs = b.statistics.get(name)
        if theirs is None or type(theirs) is not type(mine) or mine.rows != theirs.rows:
            continue
        fast = isinstance(mine, RowStatistics)
        kept = groups if groups is not None and len(groups) == mine.rows else None
        found[name] = compare_texts(
            mine,
            theirs,
            groups=kept,
            draws=draws if fast else min(draws, OWN_DRAWS),
            swaps=swaps if fast else min(swaps, OWN_DRAWS),
            seed=seed,
            level=level,
        )
    return found


def _plans(
    measured: Measured, groups: Groups, planned: Callable[[int, Groups], Resampling]
) -> dict[Literal["texts", "likelihoods"], Resampling]:
    """Which rows are drawn together: of texts, and of losses, which may be of other rows."""
    plans: dict[Literal["texts", "likelihoods"], Resampling] = {}
    answers, likelihoods = measured.answers, measured.likelihoods
    if answers is not None:
        plans["texts"] = planned(answers.rows, answers.groups)
    if likelihoods is not None:
        if groups is None and answers is not None and answers.rows == likelihoods.rows:
            groups = answers.groups
        plans["likelihoods"] = planned(likelihoods.rows, groups)
    if not plans:
        raise UsageError("There is nothing to score: give what was written, or what it cost.")
    return plans


def _own_scores(own: Sequence[str | Callable[..., Any] | OwnScore], measured: Measured) -> Iterator[CorpusScore]:
    seen = set(NAMES)
    for one in map(own_score, own):
        if one.name in seen:
            raise UsageError(f"There are two scores {one.name!r}. Give yours another name: name=path.py:function.")
        seen.add(one.name)
        if measured.answers is None:
            raise UsageError(f"The score {one.name!r} needs outputs and references.")
        yield one.score(measured.answers)


def _nothing_sayable(measured: Measured) -> bool:
    if measured.answers is None or measured.answers.slots is None:
        return False
    return not any(sayable(slot) for row in measured.answers.slots for slot in row)


def _slot_errors(measured: Measured, built: Mapping[str, CorpusScore]) -> dict[str, float] | None:
    """What the rate is made of, and what the references themselves make by the same count."""
    score, answers = built.get("slot_error"), measured.answers
    if not isinstance(score, RowStatistics) or answers is None or answers.slots is None:
        return None
    pairs = zip(answers.slots, answers.references, strict=True)
    by_people = [measured.slot_counter.count(slots, text) for slots, given in pairs for text in given]
    return score.sums() | {"references": slot_error(by_people).value()}


def _notes(measured: Measured, built: Mapping[str, CorpusScore]) -> list[str]:
    answers = measured.answers
    if answers is None:
        return []
    notes = []
    empty = sum(not output.strip() for output in answers.outputs)
    if empty:
        notes.append(f"{empty} of {answers.rows} outputs are empty.")
    several = sum(len(set(given)) > 1 for given in answers.references)
    if several:
        notes.append(
            f"{several} of {answers.rows} rows {agreeing(several, 'has', 'have')} several references; "
            "each output is held against the nearest. "
            "Numbers with fewer references are lower and cannot be compared."
        )
    texts = [text for given in answers.references for text in given]
    if "rouge_l" in built and unread_by_rouge(texts) > UNREAD:
        notes.append(
            f"ROUGE reads a to z and digits only: {unread_by_rouge(texts):.0%} of the letters in the references are "
            "not seen. Take chrF."
        )
    if "bleu" in built and np.mean([text.endswith((" .", " ?", " !")) for text in texts]) >= SPLIT:
        notes.append("The references look split into words already. BLEU of such text is not that of plain text.")
    return notes


__all__ = ["TextScores", "compare_all", "interval_json", "score_all"]
