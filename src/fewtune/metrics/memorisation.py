"""Does the model give its training rows back word for word?

A model asked with its training prompts that answers with the training completions has either learned the task or
learned the rows. Held-out rows tell which: what it reproduces there it cannot have memorised (`goodbye()` has few
answers). So the measure is the difference, training less held-out, with Newcombe's interval.

Two counts a row, words taken at white space, case and punctuation as they stand:

- *reproduced*: the output is the completion (or another completion of the same prompt), word for word;
- *run*: the longest run of words the output shares with it, as a share of its words. Long texts are seldom reproduced
  whole and often in long pieces.

Outputs should be the model's likeliest ones (greedy), long enough to hold the completion.

References
----------
Carlini, Ippolito, Jagielski, Lee, Tramèr, Zhang: Quantifying memorization across neural language models. ICLR 2023.
Newcombe: Interval estimation for the difference between independent proportions. Statistics in Medicine 17 (1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fewtune.chance import wilson
from fewtune.errors import UsageError
from fewtune.metrics.answers import Answers, References
from fewtune.metrics.base import FloatArray, cluster_index
from fewtune.metrics.corpus import mean_of
from fewtune.metrics.intervals import Groups, Interval, effective_rows
from fewtune.metrics.overlap import squeezed
from fewtune.metrics.resampling import Resampling, corpus_interval

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Run:
    """Words that an output shares with a completion, in a row."""

    row: int
    """Index into the rows given, or where it stands in the file."""
    words: int
    share: float
    """Of the completion's words."""
    text: str


@dataclass(frozen=True)
class Reproduction:
    """How much of one set of completions came back."""

    rows: int
    reproduced: Interval
    """Share of rows given back word for word."""
    run_share: Interval
    """Mean share of a completion that its longest shared run covers."""
    runs: tuple[Run, ...]
    """The longest, longest first."""
    independent: float
    """Effective rows behind `reproduced`."""


@dataclass(frozen=True)
class Memorisation:
    """Training rows against held-out ones."""

    training: Reproduction
    held_out: Reproduction | None
    difference: Interval | None
    """Reproduced in training less reproduced held out; None without held-out rows."""
    verdict: Literal["memorised", "no sign", "unknown"]
    """`unknown` without held-out rows."""
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def measure_memorisation(
    outputs: Sequence[str],
    completions: References,
    *,
    held_out_outputs: Sequence[str] | None = None,
    held_out_completions: References | None = None,
    groups: Groups = None,
    held_out_groups: Groups = None,
    rows: Sequence[int] | None = None,
    held_out_rows: Sequence[int] | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> Memorisation:
    """Hold what the model wrote for training prompts against the training completions.

    Parameters
    ----------
    outputs, completions : of training rows, or of a sample of them; several completions where a prompt has several.
    held_out_outputs, held_out_completions : the same of rows that the model was not trained on.
    groups, held_out_groups : rows with the same group count as one.
    rows, held_out_rows : where each stands in the file, counted from 0, where a sample of its rows is given.
    seed : of the bootstrap behind `run_share`.
    level : confidence.

    Raises
    ------
    UsageError
        Where lengths differ, or only one half of the held-out rows is given.
    """
    if (held_out_outputs is None) != (held_out_completions is None):
        raise UsageError("Held-out rows need both `held_out_outputs` and `held_out_completions`.")
    training = _reproduction(Answers.of(outputs, completions, groups=groups), seed, level, rows)
    if held_out_outputs is None or held_out_completions is None:
        return Memorisation(training, None, None, "unknown", _said(training, None, None))
    answers = Answers.of(held_out_outputs, held_out_completions, groups=held_out_groups)
    held_out = _reproduction(answers, seed, level, held_out_rows)
    difference = _newcombe(training, held_out, level)
    verdict: Literal["memorised", "no sign"] = "memorised" if difference.low > 0 else "no sign"
    return Memorisation(training, held_out, difference, verdict, _said(training, held_out, difference))


def _reproduction(answers: Answers, seed: int, level: float, rows: Sequence[int] | None) -> Reproduction:
    """Counts over one set of rows."""
    same_N = np.zeros(answers.rows)
    runs = []
    for row, (output, given) in enumerate(zip(answers.outputs, answers.references, strict=True)):
        same_N[row] = float(squeezed(output) in {squeezed(one) for one in given})
        place = row if rows is None else rows[row]
        runs.append(max((_run(place, output, one) for one in given), key=lambda run: (run.share, run.words)))
    cluster_N = cluster_index(answers.groups, answers.rows)
    independent = effective_rows(np.ones(answers.rows), cluster_N)
    share = float(same_N.mean())
    method = f"Wilson on {independent:.1f} effective rows"
    plan = Resampling.of(answers.rows, answers.groups, seed=seed, level=level)
    return Reproduction(
        rows=answers.rows,
        reproduced=Interval(share, *wilson(share, independent, level), level, method),
        run_share=corpus_interval(mean_of("run_share", _shares(runs)), plan),
        runs=tuple(sorted(runs, key=lambda run: -run.words)[:SHOWN]),
        independent=independent,
    )


def _shares(runs: Sequence[Run]) -> FloatArray:
    return np.array([run.share for run in runs])


def _run(row: int, output: str, completion: str) -> Run:
    words = squeezed(completion).split()
    start, length = longest_run(words, squeezed(output).split())
    return Run(row, length, length / len(words) if words else 0.0, " ".join(words[start : start + length]))


def longest_run(words: Sequence[str], others: Sequence[str]) -> tuple[int, int]:
    """Where in `words` the longest run that also stands in `others` begins, and its length.

    A run of n words holds runs of all lengths below, so the length is found by halving.
    """
    few, many, place = 0, min(len(words), len(others)), 0
    while few < many:
        length = (few + many + 1) // 2
        seen = {tuple(others[start : start + length]) for start in range(len(others) - length + 1)}
        starts = (s for s in range(len(words) - length + 1) if tuple(words[s : s + length]) in seen)
        found = next(starts, None)
        if found is None:
            many = length - 1
        else:
            few, place = length, found
    return place, few


def _newcombe(a: Reproduction, b: Reproduction, level: float) -> Interval:
    """Newcombe's hybrid score interval of the difference of two independent shares."""
    mean = a.reproduced.mean - b.reproduced.mean
    below = np.hypot(a.reproduced.mean - a.reproduced.low, b.reproduced.high - b.reproduced.mean)
    above = np.hypot(a.reproduced.high - a.reproduced.mean, b.reproduced.mean - b.reproduced.low)
    method = f"Newcombe on {a.independent:.1f} and {b.independent:.1f} effective rows"
    return Interval(mean, max(-1.0, float(mean - below)), min(1.0, float(mean + above)), level, method)


def _said(training: Reproduction, held_out: Reproduction | None, difference: Interval | None) -> str:
    longest = training.runs[0]
    words = f"{longest.words} word{'' if longest.words == 1 else 's'}"
    run = f"The longest run of words given back is {words} (row {longest.row + 1})."
    counted = f"{_share(training.reproduced)} of {training.rows} training completions come back word for word"
    if held_out is None or difference is None:
        return f"{counted}. Without held-out rows nothing tells whether they were memorised. {run}"
    beside = f"{counted}, and {_share(held_out.reproduced)} of {held_out.rows} held-out ones"
    points = f"{100 * difference.mean:.0f} points ({100 * difference.low:.0f} to {100 * difference.high:.0f})"
    if difference.low > 0:
        return f"{beside}: {points} of the training rows were memorised rather than understood. {run}"
    return f"{beside}: a difference of {points}, no sign of memorising. {run}"


def _share(found: Interval) -> str:
    return f"{found.mean:.0%} ({found.low:.0%} to {found.high:.0%})"


__all__ = ["Memorisation", "Reproduction", "Run", "longest_run", "measure_memorisation"]
