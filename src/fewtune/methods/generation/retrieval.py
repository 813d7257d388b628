"""Which training rows are most like a prompt: by the embedded encoder where it is installed, else by TF-IDF.

Legend: N training rows, Q prompts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from fewtune.errors import BackboneMissing, UsageError

KINDS = ("auto", "encoder", "tfidf", "random")


@dataclass(frozen=True)
class ShownExamples:
    """What few-shot prompts have in common: how many examples stand before what is asked, and which."""

    name: ClassVar[str]

    shots: int = 8
    """Most examples; fewer where the context holds fewer."""
    choose: str = "auto"
    """`encoder`, `tfidf`, or `auto`: the embedded encoder where it is installed, else TF-IDF. `random`: the same for
    every row."""

    def __post_init__(self) -> None:
        if self.shots < 1 or self.choose not in KINDS:
            raise UsageError(f"{self.name}: 1 shot or more, chosen by one of {', '.join(KINDS)}.")


class Retriever(ABC):
    """Fitted on training prompts alone."""

    name: str

    @abstractmethod
    def likeness(self, prompts: Sequence[str]) -> np.ndarray:
        """[Q, N] how like each training prompt is, the most alike highest."""

    def ranked(self, prompts: Sequence[str]) -> np.ndarray:
        """[Q, N] training rows, the most alike first; of equals the earlier row first."""
        return np.argsort(-np.round(self.likeness(prompts), 6), axis=1, kind="stable")


class ByEncoder(Retriever):
    """Cosine of sentence embeddings."""

    name = "encoder"

    def __init__(self, prompts: Sequence[str]) -> None:
        self.encoder = default_encoder()
        self.vectors_ND = self.encoder.embed(list(prompts))

    def likeness(self, prompts: Sequence[str]) -> np.ndarray:
        """Cosines."""
        found: np.ndarray = self.encoder.embed(list(prompts)) @ self.vectors_ND.T
        return found


class ByWords(Retriever):
    """Cosine of TF-IDF vectors of words and pairs of them; of letters where a prompt holds no word."""

    name = "tfidf"

    def __init__(self, prompts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.vectoriser: Any = TfidfVectorizer(token_pattern=r"(?u)\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True)
        try:
            self.rows: Any = self.vectoriser.fit_transform(prompts)
        except ValueError:  # no prompt holds anything to count
            self.vectoriser = None
        self.count = len(prompts)

    def likeness(self, prompts: Sequence[str]) -> np.ndarray:
        """Cosines."""
        if self.vectoriser is None:
            return np.zeros((len(prompts), self.count))
        found: np.ndarray = (self.vectoriser.transform(prompts) @ self.rows.T).toarray()
        return found


class AtRandom(Retriever):
    """The same rows for every prompt, drawn once: what choosing is held against."""

    name = "random"

    def __init__(self, prompts: Sequence[str], seed: int) -> None:
        self.order_N = np.random.default_rng(seed).permutation(len(prompts)).astype(np.float64)

    def likeness(self, prompts: Sequence[str]) -> np.ndarray:
        """The same for all."""
        return np.tile(self.order_N, (len(prompts), 1))


def retriever(kind: str, prompts: Sequence[str], *, seed: int = 0) -> Retriever:
    """Fit one on training prompts.

    Raises
    ------
    UsageError : no such kind.
    BackboneMissing : `encoder` was asked for and is not installed.
    """
    if kind not in KINDS:
        raise UsageError(f"There is no way called {kind!r} to choose examples. Known: {', '.join(KINDS)}.")
    if kind == "random":
        return AtRandom(prompts, seed)
    if kind == "encoder" or (kind == "auto" and encoder_there()):
        return ByEncoder(prompts)
    return ByWords(prompts)


def encoder_there() -> bool:
    """Whether the embedded encoder is installed."""
    from fewtune.backbones.load import default_folder

    try:
        default_folder()
    except BackboneMissing:
        return False
    return True


@cache
def default_encoder() -> Any:
    """The embedded encoder, opened once in a process."""
    from fewtune.backbones.load import load_encoder

    return load_encoder()
