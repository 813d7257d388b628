"""Rows unlike any other: far from their nearest neighbours in the backbone's space.

Legend: N rows, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.base import CALLED, Check, Finding, Ground, Need, Part, named
from fewtune.audit.neighbours import nearest
from fewtune.plural import agreeing

NEAREST = 5
FEWEST = 30
"""Rows below which "far from all others" has no meaning."""
FAR = 4.0
"""Standard deviations above the median distance."""
TAIL, TAIL_DEVIATIONS = 0.9, 1.2816
NARROWEST = 1e-3
"""Spread of distances below which they count as equal."""
AGAINST = 2000
"""Rows that distances are taken to; a seeded sample where there are more."""


class Outliers(Check):
    """Rows whose text is unlike that of any other row."""

    name: ClassVar[str] = "outliers"
    title: ClassVar[str] = "Rows unlike all others"
    needs: ClassVar[frozenset[Need]] = frozenset({"vectors"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """One finding a part, the farthest rows first."""
        for part, data in ground.parts:
            if len(data) < FEWEST:
                continue
            far_N, sampled = distances(ground, part)
            deviation_N = deviations(far_N, far_N)
            found = np.flatnonzero(deviation_N > FAR)
            found = found[np.argsort(-far_N[found], kind="stable")]
            if not len(found):
                continue
            yield Finding(
                self.name,
                "note",
                f"{len(found)} of {len(data)} {CALLED[part]} rows {agreeing(len(found), 'is', 'are')} "
                "unlike any other row.",
                "A text in another language, a paste by mistake or a matter of its own: nothing else in the file says "
                "how to label it, so it teaches little and its label is likelier wrong.",
                "Look at the first few: mend or drop what does not belong; keep what is rare but real, and collect "
                "more like it.",
                tuple(
                    named(
                        part,
                        data.examples[row],
                        note=f"{deviation_N[row]:.1f} deviations farther from its neighbours than usual",
                        score=round(float(far_N[row]), 4),
                    )
                    for row in found.tolist()
                ),
                {"threshold": FAR, "median_distance": round(float(np.median(far_N)), 4), "against_rows": sampled},
            )


def distances(ground: Ground, part: Part) -> tuple[NDArray[np.float64], int]:
    """[N] mean cosine distance of each row to its nearest others, and to how many rows it was taken."""
    vectors_ND = ground.vectors(part)
    rows = len(vectors_ND)
    against = np.arange(rows)
    if rows > AGAINST:
        against = np.sort(np.random.default_rng([ground.seed, rows]).choice(rows, AGAINST, replace=False))
    place_N = np.full(rows, -1, dtype=np.int64)
    place_N[against] = np.arange(len(against))
    _, cosines_NK = nearest(vectors_ND, vectors_ND[against], NEAREST, itself_Q=place_N, tick=ground.tick)
    return 1.0 - cosines_NK.mean(1).astype(np.float64), len(against)


def deviations(usual_L: NDArray[np.float64], values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] how far each value lies above the median of the usual ones, in their standard deviations.

    The deviation is that of a normal distribution with the same upper tail (median to 90th percentile): distances have
    long tails, and by the median absolute deviation rows of an even cloud would stray.
    """
    middle, high = np.quantile(usual_L, [0.5, TAIL])
    return np.asarray((values_N - middle) / max(float(high - middle) / TAIL_DEVIATIONS, NARROWEST), dtype=np.float64)
