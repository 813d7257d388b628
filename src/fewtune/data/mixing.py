"""In which shares rows are learnt: of several tasks in one tuning, and of what is replayed beside them.

Tasks of n_1, …, n_S rows are drawn in the shares

    p_s = n_s^(1/T) / Σ n_k^(1/T)

of the temperature T: 1 draws each task by its rows, more draws small tasks oftener, without end all tasks alike
(temperature-scaled mixing: Raffel and others 2020, arXiv 1910.10683, section 3.5.2, whose limit on the size of a task
nobody needs where it has a few thousand rows).

Shares are kept exactly, not on average: with a few hundred rows, chance alone would double what a small task is given.

Legend: N rows of a run, S sources (tasks first, then what is replayed), R of them replayed.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fewtune.data.base import Dataset, Example
from fewtune.errors import UsageError

TEMPERATURE = 2.0
"""Best of those tried in the source."""
REPLAY_SHARE = 0.05
_SPACES = re.compile(r"\s+")

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Replayed:
    """Rows of something else, learnt again so that it is not forgotten."""

    name: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Mix:
    """What a tuning learns, in which shares."""

    names: tuple[str, ...] = ()
    """[S − R] of the tasks; empty where the rows are one task."""
    task_N: tuple[int, ...] = ()
    """[N] the task of each row; empty where they are one."""
    temperature: float = TEMPERATURE
    replayed: tuple[Replayed, ...] = ()
    """Each is given an equal part of the share."""
    share: float = REPLAY_SHARE
    """Share of all rows learnt that are replayed; the rows of the tasks are seen as often as without."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < np.inf:
            raise UsageError(f"The temperature is more than 0, not {self.temperature:g}: 1 draws tasks by their rows.")
        if not 0 < self.share < 1:
            raise UsageError(f"The share that is replayed is between 0 and 1, not {self.share:g}.")
        if len(set(self.names)) < len(self.names):
            raise UsageError(f"Two tasks have the same name ({', '.join(self.names)}). Name them: NAME=FILE.")

    @property
    def replays(self) -> float:
        """The share that is replayed; 0 where there is nothing to replay."""
        return self.share if self.replay else 0.0

    @property
    def replay(self) -> tuple[Example, ...]:
        """All rows to be replayed, source after source."""
        return tuple(example for source in self.replayed for example in source.examples)

    @property
    def plain(self) -> bool:
        """Whether there is nothing to mix."""
        return len(self.names) < 2 and not self.replay

    def subset(self, rows: Iterable[int]) -> Mix:
        """Of some of the rows."""
        return replace(self, task_N=tuple(self.task_N[row] for row in rows)) if self.task_N else self

    def without(self, held_out: Iterable[Example]) -> Mix:
        """What is replayed without rows that are held out: nobody is examined on what was learnt."""
        known = {said(example) for example in held_out}
        kept = [
            replace(source, examples=tuple(one for one in source.examples if said(one) not in known))
            for source in self.replayed
        ]
        return replace(self, replayed=tuple(source for source in kept if source.examples))

    def only_replay(self) -> Mix:
        """The same beside a task alone."""
        return replace(self, names=(), task_N=())

    def shares(self, rows: int) -> list[float]:
        """[S] of all rows learnt, where the tasks have `rows` rows in all."""
        counts = np.bincount(self.task_N, minlength=len(self.names)).tolist() if self.task_N else [rows]
        own = [(1 - self.replays) * share for share in temperature_shares(counts, self.temperature)]
        return own + [self.replays / len(self.replayed) for _ in self.replayed]

    def pass_length(self, rows: int) -> float:
        """Rows of one pass: as many of the tasks as they have, and what is replayed beside them."""
        return rows / (1 - self.replays)

    def passes(self, rows: int, rng: np.random.Generator) -> Iterator[IntArray]:
        """Passes without end over the rows and, numbered after them, what is replayed (`drawn_passes`)."""
        task_N = np.asarray(self.task_N or [0] * rows)
        pools = [np.flatnonzero(task_N == task) for task in range(max(1, len(self.names)))]
        first = rows
        for source in self.replayed:
            pools.append(np.arange(first, first + len(source.examples)))
            first += len(source.examples)
        return drawn_passes(pools, self.shares(rows), self.pass_length(rows), rng)

    def to_json(self) -> dict[str, object]:
        """Plain values, without the rows."""
        found: dict[str, object] = {}
        if self.names:
            found["tasks"] = {name: self.task_N.count(place) for place, name in enumerate(self.names)}
            found["temperature"] = self.temperature
        if self.replay:
            found["replay"] = {source.name: len(source.examples) for source in self.replayed}
            found["replay_share"] = self.share
        return found

    @property
    def fingerprint(self) -> str:
        """What decides a result: who is of which task, what is replayed, in which shares."""
        replayed = [Dataset(source.examples, task="generation").fingerprint for source in self.replayed]
        return json.dumps([len(self.names), self.task_N, self.temperature, replayed, self.share])


def temperature_shares(counts: Sequence[int], temperature: float = TEMPERATURE) -> list[float]:
    """[S] the share of each task; a task without rows has none."""
    weights = np.array([count ** (1 / temperature) if count else 0.0 for count in counts])
    return [float(share) for share in weights / max(weights.sum(), 1e-300)]


def drawn_passes(
    pools: Sequence[IntArray], shares: Sequence[float], length: float, rng: np.random.Generator
) -> Iterator[IntArray]:
    """Passes of about `length` rows, without end.

    After every pass each pool has given its share to within one row. A pool's rows are taken in shuffled rounds, each
    row once a round; within a pass the rows of all pools are shuffled together.

    Parameters
    ----------
    pools : [S] rows of each source.
    shares : [S] of a pass; they add up to 1.
    """
    rounds = [_rounds(pool, rng) for pool in pools]
    given = [0] * len(pools)
    for number in itertools.count(1):
        taken = list[int]()
        for place, share in enumerate(shares):
            due = round(number * length * share) if len(pools[place]) else 0
            taken += itertools.islice(rounds[place], due - given[place])
            given[place] = due
        yield rng.permutation(np.asarray(taken, dtype=np.int64))


def _rounds(pool: IntArray, rng: np.random.Generator) -> Iterator[int]:
    while len(pool):
        yield from rng.permutation(pool).tolist()


def said(example: Example) -> tuple[str, str]:
    """What is learnt of a row, and after what, but for case and spaces; plain text stands after nothing."""
    if example.completion is None:
        return "", _plain(example.text)
    before = [turn.content for turn in example.messages[:-1]] or [example.prompt]
    return _plain("\n".join(before)), _plain(example.completion)


def _plain(text: str) -> str:
    return _SPACES.sub(" ", text.casefold()).strip()


__all__ = ["REPLAY_SHARE", "TEMPERATURE", "Mix", "Replayed", "drawn_passes", "said", "temperature_shares"]
