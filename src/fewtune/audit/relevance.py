"""Rows off the task: far from what is labelled, from the classes' names, or from the task in the person's words.

Three witnesses, each with the labelled rows as its measure of what is usual:

- rows of other files: the distance to the nearest labelled rows. Telling foreign rows from rows of the set, over all
  pairs of seven sets, it has an area under the curve of .95;
- every row: the distance to the description of the task (`--about`; .77), and to the nearest class name (.71), where
  the names are words and point at the right class more often than chance.

A row is named when one of them says so clearly (benchmarks/audit/false_alarms.py: how rarely of rows that belong).

Legend: N rows, L labelled rows, C classes, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.base import CALLED, Check, Finding, Ground, Need, Part, Vectors, named
from fewtune.audit.neighbours import nearest
from fewtune.audit.outliers import deviations as beyond
from fewtune.plural import agreeing

FEWEST = 30
"""Training rows below which there is no telling what is usual."""
FAR_FROM_ROWS, FAR_FROM_WORDS = 3.0, 3.5
"""Standard deviations beyond the usual distance."""
NEAREST = 5
AGAINST = 2000
"""Labelled rows that distances are taken to; a seeded sample where there are more."""
ROWS, ABOUT, NAMES = "the labelled rows", "the description of the task", "the class names"
FloatArray = NDArray[np.float64]


class Relevance(Check):
    """Rows that are off the task: unlike what is labelled, the class names, or the description given."""

    name: ClassVar[str] = "relevance"
    title: ClassVar[str] = "Rows off the task"
    needs: ClassVar[frozenset[Need]] = frozenset({"vectors"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """One finding a part, the rows farthest off first."""
        if len(ground.train) < FEWEST:
            return
        for part, data in ground.parts:
            witnesses = deviations(ground, part)
            if not witnesses:
                continue
            names = list(witnesses)
            beyond_WN = np.stack(
                [witnesses[name] - (FAR_FROM_ROWS if name == ROWS else FAR_FROM_WORDS) for name in names]
            )
            found = np.flatnonzero(beyond_WN.max(0) > 0)
            found = found[np.argsort(-beyond_WN.max(0)[found], kind="stable")]
            if not len(found):
                continue
            said = {row: names[int(beyond_WN[:, row].argmax())] for row in found.tolist()}
            yield Finding(
                self.name,
                "note",
                f"{len(found)} of {len(data)} {CALLED[part]} rows "
                f"{agreeing(len(found), 'looks', 'look')} off the task.",
                "They lie far from " + " or ".join(name for name in names if name in said.values()) + ": greetings, "
                "spam, tests or another matter, which a classifier must still answer with one of its classes.",
                "Drop what does not belong, or give it a class of its own."
                if part == "train"
                else "Drop what does not belong; if such texts will come, label some under a class of their own.",
                tuple(
                    named(
                        part,
                        data.examples[row],
                        note=f"{witnesses[said[row]][row]:.1f} deviations farther than usual from {said[row]}",
                        score=round(float(beyond_WN[:, row].max()), 4),
                    )
                    for row in said
                ),
                {"witnesses": names, "thresholds": {"rows": FAR_FROM_ROWS, "words": FAR_FROM_WORDS}},
            )


def deviations(ground: Ground, part: Part) -> dict[str, FloatArray]:
    """Witness → [N] how much farther than usual each row of a part lies, in standard deviations."""
    found: dict[str, FloatArray] = {}
    train_LD, rows_ND = ground.vectors("train"), ground.vectors(part)
    if part != "train" and ground.labelled:
        found[ROWS] = _from_rows(ground, train_LD, rows_ND)
    for name, words_CD in _words(ground, train_LD).items():
        usual_L = 1 - (train_LD @ words_CD.T).max(1).astype(np.float64)
        found[name] = beyond(usual_L, 1 - (rows_ND @ words_CD.T).max(1).astype(np.float64))
    return found


def _from_rows(ground: Ground, train_LD: Vectors, rows_ND: Vectors) -> FloatArray:
    against = np.arange(len(train_LD))
    if len(against) > AGAINST:
        against = np.sort(np.random.default_rng([ground.seed, 3]).choice(len(against), AGAINST, replace=False))
    kept_AD = train_LD[against]
    _, usual_AK = nearest(kept_AD, kept_AD, NEAREST, itself_Q=np.arange(len(kept_AD)), tick=ground.tick)
    _, cosines_NK = nearest(rows_ND, kept_AD, NEAREST, tick=ground.tick)
    return beyond(1 - usual_AK.mean(1).astype(np.float64), 1 - cosines_NK.mean(1).astype(np.float64))


def _words(ground: Ground, train_LD: Vectors) -> dict[str, Vectors]:
    """Vectors of what the task is called, where it says something."""
    assert ground.embed is not None
    found: dict[str, Vectors] = {}
    if ground.about and ground.about.strip():
        found[ABOUT] = ground.embed([ground.about])
    if ground.spoken and ground.labelled:
        names_CD = ground.embed(list(ground.spoken))
        if _pointing(train_LD @ names_CD.T, ground):
            found[NAMES] = names_CD
    return found


def _pointing(cosines_LC: NDArray[np.float32], ground: Ground) -> bool:
    """Whether the nearest name is the right one more often than chance explains: not so with codes."""
    place = {name: index for index, name in enumerate(ground.train.classes)}
    labels_L = np.asarray([place[label] for label in ground.train.labels])
    chance = 1 / cosines_LC.shape[1]
    right = float((cosines_LC.argmax(1) == labels_L).mean())
    return bool(right > chance + 3 * float(np.sqrt(chance * (1 - chance) / len(labels_L))))
