"""What tuning cost elsewhere: bits per byte of texts it was not about, before and after.

The same rows are scored by the model before tuning and after it: held-out general text, and the prompts a person gives
as probes. The difference is taken row by row, so texts that are hard for both weigh on neither. Bytes do not change, so
a tokenizer that gained tokens in between is no harm.

Positive is forgotten: more bits a byte than before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fewtune.errors import UsageError
from fewtune.metrics.intervals import Groups, Interval
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.paired import Comparison
from fewtune.metrics.paired_corpus import compare_texts
from fewtune.metrics.resampling import DRAWS, Resampling, corpus_interval

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """One text before and after."""

    row: int
    before: float
    after: float
    """Bits a byte."""
    text: str = ""


@dataclass(frozen=True)
class Forgetting:
    """Of one set of texts."""

    name: str
    rows: int
    before: Interval
    after: Interval
    """Bits a byte, each with its own interval: mostly of how hard the texts are."""
    difference: Interval
    """After less before, paired: what to look at."""
    relative: float
    """The difference as a share of before."""
    p: float
    verdict: Literal["forgotten", "kept", "gained"]
    """`kept` where the two cannot be told apart."""
    hardest_hit: tuple[Probe, ...]
    """The rows that lost most, worst first."""
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def measure_forgetting(
    before: Likelihoods,
    after: Likelihoods,
    *,
    name: str = "general text",
    texts: Sequence[str] | None = None,
    groups: Groups = None,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = 0.95,
) -> Forgetting:
    """Compare one set of rows before and after tuning.

    Parameters
    ----------
    before, after : what each row cost the model, the same rows in the same order.
    name : of the texts, for the sentence: "general text", "the probes".
    texts : [N] shown beside the rows that lost most.
    groups : [N] rows with the same group (pieces of one book) count as one.
    draws, seed : of the bootstrap.
    level : confidence.

    Raises
    ------
    UsageError
        Where the rows are not the same.
    """
    _same_texts(before, after)
    mine, theirs = before.bits_per_byte(), after.bits_per_byte()
    plan = Resampling.of(before.rows, groups, draws=draws, seed=seed, level=level)
    found = compare_texts(theirs, mine, groups=groups, draws=draws, seed=seed, level=level)
    # `compare_texts` says how much better the first is; what is forgotten is how much worse.
    difference = Interval(-found.difference, -found.high, -found.low, level, found.method)
    intervals = corpus_interval(mine, plan), corpus_interval(theirs, plan)
    verdict: Literal["forgotten", "kept", "gained"] = "kept"
    if found.verdict != "cannot be told apart":
        verdict = "forgotten" if difference.mean > 0 else "gained"
    relative = difference.mean / mine.value() if mine.value() > 0 else 0.0
    return Forgetting(
        name=name,
        rows=before.rows,
        before=intervals[0],
        after=intervals[1],
        difference=difference,
        relative=relative,
        p=found.p,
        verdict=verdict,
        hardest_hit=_hardest_hit(before, after, texts),
        sentence=_sentence(name, before.rows, intervals, difference, relative, verdict),
    )


def compare_forgetting(
    before: Likelihoods,
    after: Likelihoods,
    other_after: Likelihoods,
    *,
    groups: Groups = None,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Whether a tuning forgot less than another from the same start (with replay, say, against without).

    Parameters
    ----------
    before : the common start; it cancels, and is asked for so that the rows are known to be the same.
    after, other_after : the same rows after the one tuning and after the other.
    groups, draws, seed, level : as in `measure_forgetting`.

    Returns
    -------
    Comparison
        Positive, "better", where the first forgot less, in bits a byte.
    """
    for later in (after, other_after):
        _same_texts(before, later)
    mine, theirs = after.bits_per_byte(), other_after.bits_per_byte()
    return compare_texts(mine, theirs, groups=groups, draws=draws, seed=seed, level=level)


def _same_texts(before: Likelihoods, after: Likelihoods) -> None:
    if before.rows != after.rows or not np.array_equal(before.bytes_N, after.bytes_N):
        raise UsageError(
            f"The {before.rows} rows scored before and the {after.rows} scored after are not the same texts. "
            "Score the same rows in the same order."
        )


def _hardest_hit(before: Likelihoods, after: Likelihoods, texts: Sequence[str] | None) -> tuple[Probe, ...]:
    bits_N2 = np.stack([before.bits_per_byte().values_N(), after.bits_per_byte().values_N()], axis=1)
    rise_N = np.nan_to_num(bits_N2[:, 1] - bits_N2[:, 0], nan=-np.inf)
    worst = [int(row) for row in np.argsort(-rise_N, kind="stable")[:SHOWN] if rise_N[row] > 0]
    return tuple(
        Probe(row, float(bits_N2[row, 0]), float(bits_N2[row, 1]), texts[row] if texts is not None else "")
        for row in worst
    )


def _sentence(
    name: str, rows: int, intervals: tuple[Interval, Interval], difference: Interval, relative: float, verdict: str
) -> str:
    before, after = intervals
    went = f"On {name} ({rows} rows) bits per byte went from {before.mean:.3f} to {after.mean:.3f}"
    by = f"{difference.mean:+.3f}, {difference.low:+.3f} to {difference.high:+.3f}; {relative:+.1%}"
    told = {
        "forgotten": "tuning made the model worse at it",
        "gained": "tuning made the model better at it",
        "kept": "no change that can be told from chance",
    }[verdict]
    return f"{went} ({by}): {told}."


__all__ = ["Forgetting", "Probe", "compare_forgetting", "measure_forgetting"]
