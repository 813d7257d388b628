"""Pairs of classes that look like two names for one.

Of the rows of two classes, the model's preference between the two is held against the labels: an area under the curve
of one half says that the label cannot be told from the text. A pair is named where even the upper end of the interval
is low, both classes are taken for the other about as often as for themselves, and each one's nearest neighbours carry
the other's label nearly as often as chance would have it.

Legend: N rows, C classes, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.base import Check, Finding, Ground, Need, named
from fewtune.audit.neighbours import nearest
from fewtune.chance import area_under_curve

FEWEST = 8
"""Rows of each class below which nothing can be said."""
SEPARATE = 0.75
"""An area under the curve that the upper end of the interval must stay below."""
TAKEN = 0.25
"""Share of each class that must be taken for the other rather than for itself."""
MIXED = 0.6
"""Share of the neighbours expected by chance that must carry the other label."""
NEAREST = 5
SHOWN = 10
LEVEL = 1.96


@dataclass(frozen=True)
class Pair:
    """Two classes that are hard to tell apart."""

    one: str
    other: str
    auc: float
    high: float
    taken: tuple[float, float]
    """Share of each class's rows for which the model prefers the other."""
    mixed: float | None
    """Neighbours with the other label, as a share of what chance would give; None without vectors."""


class ClassPairs(Check):
    """Classes whose rows look alike to the model and lie among each other: two names for one class, perhaps."""

    name: ClassVar[str] = "class_pairs"
    title: ClassVar[str] = "Classes that may be one"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "predictions"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """A finding a pair; one for all where no class can be told from any other."""
        pairs = alike(ground)
        classes = len(ground.train.classes)
        if len(pairs) > max(1, classes * (classes - 1) // 4):
            yield Finding(
                self.name,
                "warning",
                f"{len(pairs)} of {classes * (classes - 1) // 2} pairs of classes cannot be told apart by their texts.",
                "The labels hardly follow from the texts: they are shuffled, or depend on something that is not in the "
                "text.",
                "Check that texts and labels belong to the same rows before anything else.",
                numbers={"pairs": len(pairs), "classes": classes},
            )
            return
        for pair in pairs:
            yield _finding(ground, pair)


def alike(ground: Ground) -> list[Pair]:
    """Every pair of classes that looks like one, the most alike first."""
    seen, classes = ground.predictions, ground.train.classes
    members = [np.flatnonzero(seen.labels_N == place) for place in range(len(classes))]
    found = []
    for one, other in combinations(range(len(classes)), 2):
        if min(len(members[one]), len(members[other])) >= FEWEST:
            pair = _compared(ground, members[one], members[other], one, other)
            if pair is not None:
                found.append(pair)
    return sorted(found, key=lambda pair: (pair.high, pair.one, pair.other))


def _compared(
    ground: Ground, one_A: NDArray[np.int64], other_B: NDArray[np.int64], one: int, other: int
) -> Pair | None:
    logs_NC = np.log(np.clip(ground.predictions.probs_NC[:, [one, other]], 1e-9, None))
    for_one_A, for_one_B = (logs_NC[rows, 0] - logs_NC[rows, 1] for rows in (one_A, other_B))
    taken = (float((for_one_A < 0).mean()), float((for_one_B > 0).mean()))
    if min(taken) < TAKEN:
        return None
    area = area_under_curve(for_one_A, for_one_B)
    high = area.auc + LEVEL * float(np.sqrt(area.variance))
    mixed = _mixed(ground, one_A, other_B)
    if high >= SEPARATE or (mixed is not None and mixed < MIXED):
        return None
    classes = ground.train.classes
    return Pair(classes[one], classes[other], area.auc, high, taken, mixed)


def _mixed(ground: Ground, one_A: NDArray[np.int64], other_B: NDArray[np.int64]) -> float | None:
    """How often a row's neighbours among the two classes carry the other label, over how often chance would."""
    if not ground.has("vectors"):
        return None
    rows = np.concatenate([one_A, other_B])
    is_other_N = np.repeat([False, True], [len(one_A), len(other_B)])
    vectors_ND = ground.vectors("train")[rows]
    places_NK, _ = nearest(vectors_ND, vectors_ND, NEAREST, itself_Q=np.arange(len(rows)))
    other_share_N = (is_other_N[places_NK] != is_other_N[:, None]).mean(1)
    expected_N = np.where(is_other_N, len(one_A), len(other_B)) / (len(rows) - 1)
    return float((other_share_N / expected_N).mean())


def _finding(ground: Ground, pair: Pair) -> Finding:
    seen, examples = ground.predictions, ground.train.examples
    place = {name: index for index, name in enumerate(ground.train.classes)}
    one, other = place[pair.one], place[pair.other]
    preference_N = seen.probs_NC[:, one] - seen.probs_NC[:, other]
    misled = [
        (float(-preference_N[row] if seen.labels_N[row] == one else preference_N[row]), row)
        for row in np.flatnonzero((seen.labels_N == one) | (seen.labels_N == other)).tolist()
    ]
    rows = [row for doubt, row in sorted(misled, reverse=True) if doubt > 0][:SHOWN]
    return Finding(
        ClassPairs.name,
        "warning",
        f"{pair.one!r} and {pair.other!r} look like two names for one class: a model prefers the other name for "
        f"{pair.taken[0]:.0%} and {pair.taken[1]:.0%} of their rows.",
        "What cannot be told apart counts as an error about half of the time, however good the model.",
        "Merge them, or write down what sets them apart and check the labels of both.",
        tuple(
            named(
                "train",
                examples[row],
                note=f"looks like {(pair.other if examples[row].label == pair.one else pair.one)!r}",
            )
            for row in rows
        ),
        {
            "classes": [pair.one, pair.other],
            "auc": round(pair.auc, 4),
            "auc_high": round(pair.high, 4),
            "taken_for_the_other": [round(share, 4) for share in pair.taken],
            "neighbours_mixed": None if pair.mixed is None else round(pair.mixed, 4),
        },
    )
