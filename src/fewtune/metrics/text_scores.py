"""Every score of written text: its name, which way it runs, what it needs, and how it is counted.

BLEU and chrF run from 0 to 100, as sacrebleu quotes them; the others are shares, nats, bits, or a number of times
(`unit`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from fewtune.errors import UsageError
from fewtune.metrics.answers import Answers
from fewtune.metrics.corpus import RowStatistics
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.ngrams import bleu, chrf
from fewtune.metrics.overlap import exact_match, normalised_match, token_f1
from fewtune.metrics.slots import SlotCount, SlotCounter, slot_error

Need = Literal["references", "slots", "likelihoods"]
Unit = Literal["share", "points", "nats", "bits", "times"]

MISSING: dict[Need, str] = {
    "references": "there are no outputs with references",
    "slots": "neither a column of slots nor prompts that are all meaning representations",
    "likelihoods": "no losses were measured",
}


@dataclass(frozen=True)
class Measured:
    """What there is to score."""

    answers: Answers | None
    likelihoods: Likelihoods | None
    counter: SlotCounter | None = None
    """What other rows tell of values, for slot errors; the rows themselves where none is given."""

    def has(self, need: Need) -> bool:
        """Whether a score that needs this can be had."""
        if need == "likelihoods":
            return self.likelihoods is not None
        return self.answers is not None and (need == "references" or self.answers.slots is not None)

    @cached_property
    def slot_counter(self) -> SlotCounter:
        """Given, or learned from the rows and their references."""
        assert self.answers is not None
        return self.counter or SlotCounter.of(self.answers.slots or (), self.answers.references)

    @cached_property
    def slot_counts(self) -> list[SlotCount]:
        """[N] what each output did with its slots."""
        assert self.answers is not None
        return self.slot_counter.counts(self.answers.slots or (), self.answers.outputs)


@dataclass(frozen=True)
class TextScore:
    """A score by name."""

    name: str
    title: str
    unit: Unit
    higher_is_better: bool
    needs: Need
    paper: str
    build: Callable[[Measured], RowStatistics] = field(repr=False)


def _by_losses(count: Callable[[Likelihoods], RowStatistics]) -> Callable[[Measured], RowStatistics]:
    def build(measured: Measured) -> RowStatistics:
        assert measured.likelihoods is not None
        return count(measured.likelihoods)

    return build


def _by_texts(
    count: Callable[[Sequence[str], Sequence[Sequence[str]]], RowStatistics],
) -> Callable[[Measured], RowStatistics]:
    def build(measured: Measured) -> RowStatistics:
        assert measured.answers is not None
        return count(measured.answers.outputs, measured.answers.references)

    return build


def _by_rouge(kind: str) -> Callable[[Measured], RowStatistics]:
    def build(measured: Measured) -> RowStatistics:
        assert measured.answers is not None
        return measured.answers.rouge[kind]

    return build


def _losses(name: str, title: str, unit: Unit, count: Callable[[Likelihoods], RowStatistics], paper: str) -> TextScore:
    return TextScore(name, title, unit, False, "likelihoods", paper, _by_losses(count))


def _overlap(name: str, title: str, build: Callable[[Measured], RowStatistics], paper: str) -> TextScore:
    unit: Unit = "points" if name in ("bleu", "chrf") else "share"
    return TextScore(name, title, unit, True, "references", paper, build)


JELINEK, RAJPURKAR, LIN = "Jelinek and others 1977", "Rajpurkar and others 2016", "Lin 2004"
SCORES: tuple[TextScore, ...] = (
    _losses("loss", "Loss a token", "nats", Likelihoods.loss, JELINEK),
    _losses("perplexity", "Perplexity", "times", Likelihoods.perplexity, JELINEK),
    _losses("bits_per_byte", "Bits per byte", "bits", Likelihoods.bits_per_byte, "Gao and others 2020"),
    _overlap("bleu", "BLEU", _by_texts(bleu), "Papineni and others 2002; Post 2018"),
    _overlap("chrf", "chrF", _by_texts(chrf), "Popović 2015"),
    _overlap("rouge_1", "ROUGE-1", _by_rouge("rouge_1"), LIN),
    _overlap("rouge_2", "ROUGE-2", _by_rouge("rouge_2"), LIN),
    _overlap("rouge_l", "ROUGE-L", _by_rouge("rouge_l"), LIN),
    _overlap("exact_match", "Exact match", _by_texts(exact_match), RAJPURKAR),
    _overlap("normalised_match", "Exact match, normalised", _by_texts(normalised_match), RAJPURKAR),
    _overlap("token_f1", "Token F1", _by_texts(token_f1), RAJPURKAR),
    TextScore(
        "slot_error",
        "Slot error rate",
        "share",
        False,
        "slots",
        "Wen and others 2015",
        lambda measured: slot_error(measured.slot_counts),
    ),
)
NAMES = tuple(score.name for score in SCORES)


def chosen(names: Sequence[str] | None) -> list[TextScore]:
    """The scores of these names, in the order of the registry.

    Raises
    ------
    UsageError
        For a name that is none.
    """
    if names is None:
        return list(SCORES)
    for name in names:
        if name not in NAMES:
            known = ", ".join(NAMES)
            raise UsageError(f"There is no score {name!r}. There are {known}. Your own: name=path.py:function.")
    return [score for score in SCORES if score.name in names]


__all__ = ["MISSING", "NAMES", "SCORES", "Measured", "TextScore", "chosen"]
