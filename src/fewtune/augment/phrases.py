"""Phrases that a prompt names and its completion says again, exchanged in both for those of other rows.

A model tuned on few rows learns their names by heart and writes them where others were asked for. Where the same
sentence comes with another name each time, only copying answers. This is entity swapping as data-to-text and named
entity work have it (Dai and Adel 2020 call it mention replacement), without labels of entities: what prompt and
completion have in common, word for word, stands for them, and what stands before it in the prompt (`name=`, `in`) for
its type. Some phrases are put together anew from the words of several, and numbers digit by digit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np

from fewtune.augment.base import Strategy
from fewtune.data.base import Example, Message

FEWEST = 4
"""Different phrases of a type without which there is too little to exchange."""
COMMON = 0.25
"""A phrase in more than this share of the prompts is a word of the task and no value in it."""
COPIED = 0.8
"""Of the completions a phrase stands in, the share whose prompts have it too, below which it is not copied."""
TAKEN_UP = 0.5
"""Share of the places of a type (`name=`, `the`) whose phrase the completion says again, below which it is no type."""
RECOMBINED = 0.25
"""Share of the new phrases that are put together from words of several."""
LONGEST = 12
"""Words of a phrase."""
TRIES = 8

_WORD = re.compile(r"\w+")
_JOINED = re.compile(r"[ '’&./,-]{1,3}")
_BEFORE = re.compile(r"[\w-]*[\W_]*$")
_IS_FIELD = re.compile(r"\s*[=:(\[{]")
"""What follows the name of a field, which is no value."""
_QUOTES = str.maketrans("", "", "'\"`“”‘’")


@dataclass(frozen=True)
class PhraseExchange(Strategy):
    """Fitted on the training rows.

    Parameters
    ----------
    pools : by type, what stands before a phrase in its prompt, the different phrases, sorted.
    values : phrases that are copied from prompt to completion and are no words of the task.
    """

    pools: dict[str, tuple[str, ...]]
    values: frozenset[str]

    @classmethod
    def fit(cls, examples: Sequence[Example]) -> Self:
        """Find the phrases that prompts and completions share, and their types."""
        rows = [example for example in examples if example.completion]
        found = [(example, _shared(example.text, example.completion or "")) for example in rows]
        values = _values({phrase for _, phrases in found for phrase in phrases}, rows)
        said: dict[str, list[str]] = {}
        for example, phrases in found:
            for phrase in phrases:
                if phrase in values and (kind := _type(example.text, phrase)):
                    said.setdefault(kind, []).append(phrase)
        pools = {kind: tuple(sorted(set(phrases))) for kind, phrases in said.items() if len(set(phrases)) >= FEWEST}
        places = _places(pools, rows)
        kept = {kind: pool for kind, pool in pools.items() if len(said[kind]) >= TAKEN_UP * places[kind]}
        return cls(kept, values)

    def changes(self, example: Example) -> bool:
        """Whether a phrase of it is of a type that other rows have too."""
        return bool(self._exchangeable(example))

    def vary(self, example: Example, rng: np.random.Generator) -> Example:
        """The row with each such phrase exchanged, in the prompt, the completion and every turn before them."""
        said = f"{example.text}\n{example.completion}"
        new: dict[str, str] = {}
        for phrase, kind in self._exchangeable(example).items():
            for _ in range(TRIES):
                drawn = _drawn(phrase, self.pools[kind], rng)
                # A phrase that stands there already would say something else in two places.
                if not _in(drawn, said) and drawn not in new.values():
                    new[phrase] = drawn
                    break
        if not new:
            return example
        wanted = re.compile("|".join(_whole(phrase) for phrase in sorted(new, key=len, reverse=True)))

        def put(text: str) -> str:
            return wanted.sub(lambda match: new[match.group()], text)

        return replace(
            example,
            text=put(example.text),
            completion=put(example.completion or ""),
            messages=tuple(Message(turn.role, put(turn.content)) for turn in example.messages),
            origin="augmented",
            parent=example.id,
        )

    def _exchangeable(self, example: Example) -> dict[str, str]:
        """The row's phrases and their types."""
        found = {}
        for phrase in _shared(example.text, example.completion or ""):
            kind = _type(example.text, phrase)
            if phrase in self.values and kind in self.pools:
                found[phrase] = kind
        return found


@lru_cache(maxsize=8192)
def _shared(prompt: str, completion: str) -> tuple[str, ...]:
    """Longest runs of the prompt's words that stand in the completion, joined as they are there."""
    words = [match.span() for match in _WORD.finditer(prompt)]
    found: list[str] = []
    first = 0
    while first < len(words):
        last = first
        while last < min(len(words), first + LONGEST):
            joined = last == first or _JOINED.fullmatch(prompt, words[last - 1][1], words[last][0])
            if not joined or not _in(prompt[words[first][0] : words[last][1]], completion):
                break
            last += 1
        if last > first and not _IS_FIELD.match(prompt, words[last - 1][1]):
            found.append(prompt[words[first][0] : words[last - 1][1]])
        first = max(last, first + 1)
    return tuple(dict.fromkeys(found))


def _values(phrases: set[str], rows: Sequence[Example]) -> frozenset[str]:
    """Those that seldom stand in a completion without their prompt, and not in every other prompt."""
    asked, said = _Index(row.text for row in rows), _Index(row.completion or "" for row in rows)
    kept = set()
    for phrase in phrases:
        prompts, completions = asked.having(phrase), said.having(phrase)
        copied = len(prompts & completions)
        if copied >= COPIED * len(completions) and len(prompts) <= max(1.0, COMMON * len(rows)):
            kept.add(phrase)
    return frozenset(kept)


class _Index:
    """Which texts have a phrase, looked up by the rarest of its words."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = list(texts)
        self.places: dict[str, list[int]] = {}
        for place, text in enumerate(self.texts):
            for word in set(_WORD.findall(text)):
                self.places.setdefault(word, []).append(place)

    def having(self, phrase: str) -> set[int]:
        """Places of the texts."""
        rarest = min((self.places.get(word, []) for word in _WORD.findall(phrase)), key=len)
        return {place for place in rarest if _in(phrase, self.texts[place])}


def _places(kinds: Iterable[str], rows: Sequence[Example]) -> dict[str, int]:
    """How often each type stands in the prompts."""
    prompts = [row.text.translate(_QUOTES) for row in rows]
    patterns = {kind: re.compile(rf"(?<![\w-]){re.escape(kind)}") for kind in kinds}
    return {kind: sum(len(wanted.findall(prompt)) for prompt in prompts) for kind, wanted in patterns.items()}


def _drawn(phrase: str, pool: Sequence[str], rng: np.random.Generator) -> str:
    """Another phrase of a type."""
    if phrase.isdigit() and rng.random() < 0.5:
        return "".join(str(rng.integers(1 if place == 0 else 0, 10)) for place in range(len(phrase)))
    drawn = pool[int(rng.integers(len(pool)))]
    if rng.random() >= RECOMBINED or drawn.isdigit():
        return drawn
    words = [word for one in pool for word in one.split()]
    return " ".join(words[int(place)] for place in rng.integers(len(words), size=len(drawn.split())))


def _type(prompt: str, phrase: str) -> str:
    """The word before a phrase and what is between, quotation marks aside; empty where nothing stands before it."""
    before = re.search(_whole(phrase), prompt)
    assert before is not None
    found = _BEFORE.search(prompt, max(0, before.start() - 80), before.start())
    return "" if found is None else found.group().translate(_QUOTES)


def _in(phrase: str, text: str) -> bool:
    return phrase in text and re.search(_whole(phrase), text) is not None


def _whole(phrase: str) -> str:
    return rf"(?<!\w){re.escape(phrase)}(?!\w)"
