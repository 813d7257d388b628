"""What blind marks of two systems tell: the sign test, with an exact interval.

A person who sees two answers to the same prompt marks one of them, or says that they are alike. Under "no difference",
each decided mark is a toss of a coin. p is exact; so is the interval of the share that went to the first
(Clopper and Pearson 1934). The two always agree: p is below 0.05 where the interval leaves one half out.

Ties decide nothing and are left out of the test, as Dixon and Mood (1946) have it; they are counted beside it, since
many ties mean that the difference, if any, is small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fewtune.errors import UsageError
from fewtune.metrics.base import cluster_index
from fewtune.metrics.intervals import Groups, Interval
from fewtune.metrics.paired import Verdict

Mark = Literal["better", "worse", "tie"]
MARKS = ("better", "worse", "tie")


@dataclass(frozen=True, slots=True)
class SignTest:
    """Of the first system."""

    better: int
    worse: int
    ties: int
    share: Interval
    """Of the decided marks that went to the first; 0 to 1 where none was decided."""
    p: float
    verdict: Verdict
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def sign_test(
    marks: Sequence[str],
    *,
    groups: Groups = None,
    names: tuple[str, str] = ("the tuned model", "the base model"),
    level: float = 0.95,
) -> SignTest:
    """Test marks of a first system against a second.

    Parameters
    ----------
    marks : `better`, `worse` or `tie`, of the first system.
    groups : several marks of one prompt, or prompts that belong together, are one vote: whichever side has more of
        them, a tie where neither has.
    names : of the two systems, for the sentence.
    level : confidence.

    Raises
    ------
    UsageError
        For any other mark.
    """
    from scipy import stats

    for row, mark in enumerate(marks):
        if mark not in MARKS:
            raise UsageError(f"mark {row + 1} is {mark!r}. A mark is {', '.join(MARKS[:-1])} or {MARKS[-1]}.")
    counts = Counter(_votes(marks, groups))
    better, worse, ties = (counts[mark] for mark in MARKS)
    decided = better + worse
    low, high, p, share = 0.0, 1.0, 1.0, 0.5
    if decided:
        found = stats.binomtest(better, decided)
        bounds = found.proportion_ci(level, method="exact")
        low, high, p, share = float(bounds.low), float(bounds.high), float(found.pvalue), better / decided
    verdict: Verdict = "cannot be told apart" if p >= 1 - level else "better" if better > worse else "worse"
    interval = Interval(share, low, high, level, f"Clopper–Pearson on {decided} decided marks")
    return SignTest(better, worse, ties, interval, p, verdict, _sentence(better, worse, ties, interval, verdict, names))


def marks_to_tell(share: float, *, power: float = 0.8, level: float = 0.95) -> int | None:
    """The fewest decided marks that show such a share to be more than a coin's, four times out of five.

    Parameters
    ----------
    share : of decided marks that go to the better system; None is returned at one half, which no number of marks tells.
    power : how often the test should see it.
    level : confidence.
    """
    from scipy import stats

    share = max(share, 1 - share)
    if share <= 0.5:
        return None
    z = stats.norm.ppf(0.5 + level / 2) * 0.5 + stats.norm.ppf(power) * np.sqrt(share * (1 - share))
    return int(np.ceil((z / (share - 0.5)) ** 2))


def _votes(marks: Sequence[str], groups: Groups) -> list[str]:
    """One a cluster."""
    cluster_N = cluster_index(groups, len(marks))
    if not len(marks):
        return []
    worth_N = np.array([{"better": 1, "worse": -1, "tie": 0}[mark] for mark in marks])
    sums_K = np.bincount(cluster_N, weights=worth_N)
    return ["better" if total > 0 else "worse" if total < 0 else "tie" for total in sums_K]


def _sentence(better: int, worse: int, ties: int, share: Interval, verdict: Verdict, names: tuple[str, str]) -> str:
    if not better + worse:
        return f"No mark decides between {names[0]} and {names[1]} ({_many(ties, 'tie')})."
    first, second = _many(better, "time"), _many(worse, "time")
    counted = f"{names[0]} was marked better {first}, {names[1]} {second}, {_many(ties, 'tie')}"
    sized = f"{share.mean:.0%} of the decided marks, {share.low:.0%} to {share.high:.0%}"
    told = {
        "better": "it is better",
        "worse": "it is worse",
        "cannot be told apart": "they cannot be told apart with this many marks",
    }[verdict]
    sentence = f"{counted} ({sized}): {told}."
    return sentence[0].upper() + sentence[1:]


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


__all__ = ["MARKS", "Mark", "SignTest", "marks_to_tell", "sign_test"]
