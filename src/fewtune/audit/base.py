"""The contract of checks: look at the ground, say what is found, change nothing.

A check never loads a model and never trains: what it needs of one (vectors, token counts, predictions for rows unseen
in training) it asks of the `Ground`, which the caller has filled (`fewtune/auditing/`).

Legend: N rows, D width of a vector, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.duplicates import duplicate_clusters, groups_of, joined, reworded
from fewtune.audit.leaks import Leak, leaks
from fewtune.audit.reworded import Pairs
from fewtune.data.base import Dataset, Example

Severity = Literal["blocks", "warning", "note"]
"""`blocks`: a result from these data would be invalid; `warning`: worse or less sure; `note`: good to know."""
SEVERITIES: tuple[Severity, ...] = ("blocks", "warning", "note")
Part = Literal["train", "test", "unlabelled"]
PARTS: tuple[Part, ...] = ("train", "test", "unlabelled")
CALLED: dict[Part, str] = {"train": "training", "test": "test", "unlabelled": "unlabelled"}
"""What findings call the rows of a part."""
Need = Literal["labels", "test", "unlabelled", "others", "about", "vectors", "tokens", "predictions", "preferences"]
"""`labels`: every training row has one (a file with some has the others left out); `predictions` come with them;
`others`: a file beside the training rows; `preferences`: the training rows say which answer is better, and so have no
labels in this sense, whatever is said of a single answer."""
Vectors = NDArray[np.float32]
Value = str | int | float | bool | None | Sequence["Value"] | Mapping[str, "Value"]
"""What JSON can hold."""


@dataclass(frozen=True)
class Row:
    """A row a finding names."""

    part: Part
    row: int
    """1-based number of the data row in its file; 0 when it came from no file."""
    id: str
    text: str
    label: str | None = None
    note: str = ""
    """What is the matter with this row, in a few words: its twin, the suggested label, what was found in it."""
    score: float | None = None
    """What the rows are ranked by, if they are."""


@dataclass(frozen=True)
class Finding:
    """One thing a check has found."""

    check: str
    """Name of the check."""
    severity: Severity
    what: str
    """One sentence with the number of rows: "12 test rows are copies of training rows"."""
    reason: str
    """Why it matters for this person's result, one or two sentences."""
    do: str
    """What to do next, one sentence; names the command where there is one."""
    rows: tuple[Row, ...] = ()
    """Every row concerned, the most important first; reports show the first few and say how many there are."""
    numbers: Mapping[str, Value] = field(default_factory=dict)
    """Measured values behind `what`, for `audit.json` and for tables on the page."""


@dataclass(frozen=True)
class Predictions:
    """What a model says of training rows that it has not seen."""

    labels_N: NDArray[np.int64]
    """Given labels, indices into the dataset's classes; every training row has one, or there are no predictions."""
    probs_NC: NDArray[np.float64]
    """Out-of-fold probabilities, the mean over repeats."""
    features_NF: Vectors | None = None
    """Unit-length vectors that the model reads, when it reads vectors."""


@dataclass(frozen=True)
class Ground:
    """What checks look at. Everything costly is computed once, when the first check asks."""

    train: Dataset
    test: Dataset | None = None
    unlabelled: Dataset | None = None
    about: str | None = None
    """A description of the task in the person's own words."""
    seed: int = 0
    embed: Callable[[Sequence[str]], Vectors] | None = None
    """Texts → [N, D] vectors of unit length."""
    count_tokens: Callable[[Sequence[str]], Sequence[int]] | None = None
    """Texts → tokens each would have if nothing were cut."""
    most_tokens: int | None = None
    """Where the backbone cuts a text."""
    predict: Callable[[], Predictions] | None = None
    """Predictions for the training rows, out of fold (a probe judged by the one evaluator)."""
    tick: Callable[[], None] = lambda: None
    """Called now and then in long work; may raise to interrupt."""
    spoken: tuple[str, ...] = ()
    """The classes' names as a person says them, in the order of the classes; empty where they are codes."""
    lacking: Mapping[Need, str] = field(default_factory=dict)
    """Why something is not there, where there is more to say than that it was not given."""

    def __getitem__(self, part: Part) -> Dataset:
        """The rows of a part; raises KeyError where there are none."""
        found: Dataset | None = getattr(self, part)
        if found is None:
            raise KeyError(part)
        return found

    @property
    def parts(self) -> Iterator[tuple[Part, Dataset]]:
        """The parts there are, with their rows."""
        for part in PARTS:
            if (dataset := getattr(self, part)) is not None:
                yield part, dataset

    def has(self, need: Need) -> bool:
        """Whether what a check needs is there."""
        if need == "labels":
            return self.labelled
        if need == "preferences":
            return self.train.task == "preference"
        if need == "others":
            return self.test is not None or self.unlabelled is not None
        return {
            "test": self.test,
            "unlabelled": self.unlabelled,
            "about": self.about,
            "vectors": self.embed,
            "tokens": self.count_tokens,
            "predictions": self.predict,
        }[need] is not None

    @cached_property
    def labelled(self) -> bool:
        """Whether every training row has a label."""
        if self.train.task == "preference":
            return False
        return len(self.train) > 0 and all(example.label is not None for example in self.train)

    @cached_property
    def spelled(self) -> list[int]:
        """[N] the cluster of copies and near copies of each training row, by spelling alone."""
        return duplicate_clusters(self.train.texts)

    @cached_property
    def reworded(self) -> tuple[Pairs, float | None]:
        """Rows that say the same in nearly the same words, and from which closeness on; None without vectors."""
        if self.embed is None:
            return Pairs.none(), None
        return reworded(self.train.texts, self.embed, seed=self.seed, tick=self.tick)

    @cached_property
    def clusters(self) -> list[int]:
        """[N] the cluster of each training row: copies, near copies and rewordings."""
        pairs = self.reworded[0]
        return joined(self.spelled, zip(pairs.left_P.tolist(), pairs.right_P.tolist(), strict=True))

    @cached_property
    def leaks(self) -> list[Leak]:
        """Test rows that are also in training, each with its closest twin; by vectors only where there are any."""
        return leaks(self.train, self["test"], embed=self.embed, bar=self.reworded[1], tick=self.tick)

    @cached_property
    def groups(self) -> list[int]:
        """[N] given groups merged with clusters and families: what no split may separate."""
        return groups_of(self.train, self.clusters)

    @cached_property
    def predictions(self) -> Predictions:
        """Predictions for the training rows, out of fold."""
        assert self.predict is not None, "the check did not name its need"
        return self.predict()

    def vectors(self, part: Part) -> Vectors:
        """[N, D] vectors of unit length of a part; the backbone keeps what it has embedded."""
        assert self.embed is not None, "the check did not name its need"
        if part not in self._vectors:
            self._vectors[part] = self.embed(self[part].texts)
        return self._vectors[part]

    @cached_property
    def _vectors(self) -> dict[Part, Vectors]:
        return {}


class Check(ABC):
    """One question asked of the data. A class a file; `registry.py` lists them in the order of the report."""

    name: ClassVar[str]
    """Short, with underscores: `label_errors`."""
    title: ClassVar[str]
    """What the report calls it: "Labels to check"."""
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What must be there; a check whose needs are not met is reported as not run, with the reason."""

    @classmethod
    def question(cls) -> str:
        """What it looks at, in one line: the first of the class's docstring. Pages and help are made from it."""
        return (cls.__doc__ or cls.title).strip().partition("\n")[0]

    @abstractmethod
    def run(self, ground: Ground) -> Iterator[Finding]:
        """Findings, the gravest first; none when all is well. Changes nothing and gives the same on every call."""


def named(part: Part, example: Example, *, note: str = "", score: float | None = None) -> Row:
    """An example as a row of a finding."""
    return Row(part, example.row, example.id, example.text, example.label, note, score)
