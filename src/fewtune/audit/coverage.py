"""Kinds of text in the unlabelled pool that the labelled rows pass by.

The pool is dealt into halves: k-means finds clusters in one, and the other is held against the labelled rows, so both
are new to the clusters and a random draw of labels leaves none out. A row belongs to its nearest centre, and only if
it lies as near as 95 % of that cluster's members. A cluster is uncovered where so few labelled rows would hardly happen
by chance (Fisher's exact test, corrected for the number of clusters).

Legend: K clusters, D width, U unlabelled rows, L labelled rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.base import Check, Finding, Ground, Need, Row, Vectors, named
from fewtune.audit.spelling import normalise
from fewtune.data.base import Dataset

FEWEST_POOL, FEWEST_LABELLED = 60, 20
MOST_CLUSTERS = 40
LABELLED_A_CLUSTER = 6
"""Labelled rows a cluster should expect: with fewer, none at all would be no surprise."""
MOST_POOL = 20_000
INSIDE = 0.95
PASSED_BY = 0.25
"""Covered is what has at least this share of the labelled rows that its size would give it."""
SURPRISE = 0.01
SUGGESTED = 5


@dataclass(frozen=True)
class Cluster:
    """A kind of text in the pool."""

    share: float
    """Of the pool."""
    expected: float
    """Labelled rows it would have, were they drawn from the pool."""
    labelled: int
    p: float
    rows: tuple[int, ...]
    """Places of its members in the pool, the most typical and then the most different first."""


class Coverage(Check):
    """Kinds of unlabelled text that no labelled row is like."""

    name: ClassVar[str] = "coverage"
    title: ClassVar[str] = "Unlabelled texts not covered"
    needs: ClassVar[frozenset[Need]] = frozenset({"vectors", "unlabelled"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """One finding: the rows to label next, a few of each cluster passed by, the largest first."""
        pool = ground["unlabelled"]
        if len(pool) < FEWEST_POOL or len(ground.train) < FEWEST_LABELLED:
            return
        found = uncovered(ground)
        if not found:
            return
        share = sum(cluster.share for cluster in found)
        kinds = "1 kind" if len(found) == 1 else f"{len(found)} kinds"
        yield Finding(
            self.name,
            "warning" if share >= 0.1 else "note",
            f"{kinds} of text, {share:.0%} of the unlabelled rows, have hardly a labelled row like them.",
            "What was labelled is no random draw of these texts: scores say nothing about what was passed by, and a "
            "model has not learnt it.",
            f"Label the rows named here first, {SUGGESTED} of each kind; where they are off the task, drop them.",
            tuple(row for number, cluster in enumerate(found, 1) for row in _rows(pool, cluster, number)),
            {
                "clusters": [
                    {
                        "share": round(cluster.share, 4),
                        "labelled": cluster.labelled,
                        "expected": round(cluster.expected, 2),
                        "p": float(f"{cluster.p:.2g}"),
                        "examples": [pool.examples[row].text for row in cluster.rows[:SUGGESTED]],
                    }
                    for cluster in found
                ],
                "pool_rows_looked_at": min(len(pool), MOST_POOL),
            },
        )


def uncovered(ground: Ground) -> list[Cluster]:
    """Clusters of the pool that labelled rows pass by, the largest first."""
    from scipy import stats
    from sklearn.cluster import MiniBatchKMeans

    vectors_UD, rows = _pool(ground)
    labelled_LD = ground.vectors("train")
    rng = np.random.default_rng([ground.seed, len(rows)])
    order = rng.permutation(len(rows))
    fitted, held = order[: len(order) // 2], order[len(order) // 2 :]
    count = int(np.clip(min(len(labelled_LD) // LABELLED_A_CLUSTER, len(fitted) // 10), 2, MOST_CLUSTERS))
    kmeans = MiniBatchKMeans(count, n_init=3, batch_size=2048, random_state=int(rng.integers(2**31)))
    kmeans.fit(vectors_UD[fitted])
    centres_KD = np.asarray(kmeans.cluster_centers_, dtype=np.float32)
    radius_K = _radius(vectors_UD[fitted], centres_KD)
    own_H, own_L = (_assigned(some, centres_KD, radius_K) for some in (vectors_UD[held], labelled_LD))
    in_pool_K, in_labelled_K = (np.bincount(own[own >= 0], minlength=count) for own in (own_H, own_L))
    own_U = _assigned(vectors_UD, centres_KD, radius_K)
    found = []
    for cluster in range(count):
        pool, labelled = int(in_pool_K[cluster]), int(in_labelled_K[cluster])
        expected = len(labelled_LD) * pool / len(held)
        p = float(stats.hypergeom.cdf(labelled, len(held) + len(labelled_LD), pool + labelled, len(labelled_LD)))
        if p * count < SURPRISE and labelled <= PASSED_BY * expected:
            members = np.flatnonzero(own_U == cluster)
            chosen = _typical_then_different(vectors_UD[members], centres_KD[cluster])
            places = tuple(int(rows[members[place]]) for place in chosen)
            found.append(Cluster(pool / len(held), expected, labelled, p, places))
    return sorted(found, key=lambda cluster: -cluster.share)


def _pool(ground: Ground) -> tuple[Vectors, NDArray[np.int64]]:
    """Vectors of the pool's distinct texts, a seeded sample where there are very many, and their places."""
    first: dict[str, int] = {}
    for row, text in enumerate(ground["unlabelled"].texts):
        first.setdefault(normalise(text), row)
    rows = np.fromiter(first.values(), dtype=np.int64)
    if len(rows) > MOST_POOL:
        rows = np.sort(np.random.default_rng([ground.seed, 1]).choice(rows, MOST_POOL, replace=False))
    return ground.vectors("unlabelled")[rows], rows


def _radius(vectors_UD: Vectors, centres_KD: Vectors) -> NDArray[np.float64]:
    """[K] the distance within which 95 % of a cluster's members lie."""
    own_U, distance_U = _nearest_centre(vectors_UD, centres_KD)
    radius_K = np.zeros(len(centres_KD))
    for cluster in range(len(centres_KD)):
        members = distance_U[own_U == cluster]
        radius_K[cluster] = np.quantile(members, INSIDE) if len(members) else 0.0
    return radius_K


def _assigned(some_ND: Vectors, centres_KD: Vectors, radius_K: NDArray[np.float64]) -> NDArray[np.int64]:
    """[N] the cluster of each row, -1 for one that lies outside."""
    own_N, distance_N = _nearest_centre(some_ND, centres_KD)
    return np.where(distance_N <= radius_K[own_N], own_N, -1)


def _nearest_centre(some_ND: Vectors, centres_KD: Vectors) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    squared_NK = (some_ND**2).sum(1)[:, None] - 2 * some_ND @ centres_KD.T + (centres_KD**2).sum(1)
    return squared_NK.argmin(1), np.sqrt(np.maximum(squared_NK.min(1), 0)).astype(np.float64)


def _typical_then_different(members_MD: Vectors, centre_D: NDArray[np.float32]) -> list[int]:
    """The member nearest to the centre, then each time the one farthest from those chosen; the rest in order."""
    if not len(members_MD):
        return []
    chosen = [int(((members_MD - centre_D) ** 2).sum(1).argmin())]
    apart_M = 1 - members_MD @ members_MD[chosen[0]]
    while len(chosen) < min(SUGGESTED, len(members_MD)):
        apart_M[chosen] = -1
        chosen.append(int(apart_M.argmax()))
        apart_M = np.minimum(apart_M, 1 - members_MD @ members_MD[chosen[-1]])
    return chosen + [row for row in range(len(members_MD)) if row not in set(chosen)]


def _rows(pool: Dataset, cluster: Cluster, number: int) -> list[Row]:
    note = f"kind {number}: {cluster.share:.1%} of the pool, {cluster.labelled} labelled"
    return [named("unlabelled", pool.examples[row], note=note) for row in cluster.rows[:SUGGESTED]]
