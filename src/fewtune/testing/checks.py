"""The promises of a `Check`. Subclass, give `check`, and all of them are tested on every ground of `grounds()`:

class TestMine(CheckContract):
    @pytest.fixture
    def check(self): return Mine
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, get_args

import numpy as np
import pytest

from fewtune.audit.base import SEVERITIES, Check, Finding, Ground, Need, Predictions, Vectors
from fewtune.auditing import LACKING
from fewtune.data.base import Dataset, Example
from fewtune.errors import FewtuneError
from fewtune.testing.toys import toy_dataset

WIDTH = 16
ODD = [
    "",
    " ",
    ".",
    "?!",
    "ok",
    "ok",
    "\u202e\u200b",
    "1",
    "😀",
    "a\nb\tc",
    "A" * 5000,
    "<b>&amp;</b>",
    "مرحبا",
    "\ufffd",
]
"""Texts that no check may stumble over; the empty ones are what a caller may hand over, no reader does."""


def hashed_vectors(texts: Sequence[str]) -> Vectors:
    """[N, D] unit vectors from the words of each text: alike where words are shared, the same on every machine."""
    vectors_ND = np.zeros((len(texts), WIDTH), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split() or [text]:
            seed = int.from_bytes(word.encode("utf-8", "replace")[:16].ljust(16, b"."), "big") % (1 << 63)
            vectors_ND[row] += np.random.default_rng(seed).normal(size=WIDTH)
    lengths_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return np.asarray(vectors_ND / np.maximum(lengths_N1, 1e-9), dtype=np.float32)


def word_counts(texts: Sequence[str]) -> list[int]:
    """Tokens of each text, a word each and two special ones."""
    return [len(text.split()) + 2 for text in texts]


def whole(train: Dataset, test: Dataset | None = None, unlabelled: Dataset | None = None, **more: Any) -> Ground:
    """A ground that has whatever rows alone can give: vectors, tokens, and predictions where there are two classes."""
    can = train.task != "preference" and len(train.classes) > 1 and all(example.label is not None for example in train)
    given: dict[str, Any] = {
        "about": "what a message speaks of: animals, colours or tools",
        "embed": hashed_vectors,
        "count_tokens": word_counts,
        "most_tokens": 8,
        "predict": (lambda: believed(train)) if can else None,
    }
    return Ground(train, test, unlabelled, **(given | more))


def believed(train: Dataset) -> Predictions:
    """Predictions that are right in most rows, and sure of it, with noise of a fixed seed."""
    place = {name: index for index, name in enumerate(train.classes)}
    labels_N = np.asarray([place[label] for label in train.labels], dtype=np.int64)
    probs_NC = np.random.default_rng(5).dirichlet(np.ones(len(place)), size=len(labels_N))
    probs_NC[np.arange(len(labels_N)), labels_N] += 1.0
    probs_NC[::7] = np.roll(probs_NC[::7], 1, axis=1)
    return Predictions(labels_N, probs_NC / probs_NC.sum(1, keepdims=True))


def rows_of(texts: Sequence[str], labels: Sequence[str | None], *, source: str = "rows.csv") -> Dataset:
    """A dataset of these rows, numbered from 1, each with a group and two more columns."""
    return Dataset(
        tuple(
            Example(
                text, label, id=f"r{row}", group=str(row % 3), row=row, fields={"queue": str(row % 2), "date": None}
            )
            for row, (text, label) in enumerate(zip(texts, labels, strict=True), start=1)
        ),
        source=source,
    )


def faulty() -> Ground:
    """Rows with many faults: copies, a conflict, a leak, odd texts, a rare class, a column that tells the label."""
    toys = toy_dataset(20)
    texts = [*toys.texts, *toys.texts[:3], *ODD[2:], "Write to jo@example.org or 020 7946 0018"]
    labels = [*toys.labels, toys.labels[0], toys.labels[1], "tools", *["colours"] * (len(ODD) - 2), "rare"]
    train = rows_of(texts, labels)
    telling = tuple(
        replace(one, fields={"queue": one.label, "date": f"2024-01-{row % 28 + 1:02d}"})
        for row, one in enumerate(train.examples)
    )
    other = toy_dataset(6, seed=4)
    test = rows_of([*other.texts, *toys.texts[:4], "a word nobody knows"], [*other.labels, *toys.labels[:4], "unknown"])
    pool = rows_of(
        [*toy_dataset(10, seed=9).texts, *["entirely other things, in other words"] * 5, *ODD[2:]], [None] * 47
    )
    return whole(train.replace(examples=telling), test, pool)


def preferred(*, single: bool = False) -> Dataset:
    """Preferences with many faults: empty and equal answers, a contradiction, a circle, echoes of the prompt."""
    circle = [("p", "a", "b"), ("p", "b", "c"), ("p", "c", "a")]
    odd = [(text, ODD[row - 1], text) for row, text in enumerate(ODD) if text.strip()]
    echoes = [("What are the opening hours of it?", f"What are the opening hours of it? {n}", "No.") for n in range(3)]
    rows = [*circle, ("q", "a", "b"), ("q", "b", "a"), ("q", "a", "a"), ("r", "", "x"), *odd, *echoes]
    examples = []
    for row, (asked, better, worse) in enumerate(rows, start=1):
        about: dict[str, Any] = {"label": "wanted" if row % 2 else "unwanted"} if single else {"rejected": worse}
        examples.append(Example(asked, id=f"r{row}", row=row, completion=better, **about))
    return Dataset(tuple(examples), task="preference", source="preferences.jsonl", label_column=None)


def grounds() -> dict[str, Callable[[], Ground]]:
    """Every kind of ground a check must live with, by name."""
    two = rows_of(["the dog", "red and blue"], ["animals", "colours"])
    equal = rows_of(["the same"] * 6, ["a", "b"] * 3)
    odd = rows_of(ODD, ["a", "b"] * (len(ODD) // 2))
    toys = toy_dataset(8)
    return {
        "toys": lambda: whole(toys, toy_dataset(4, seed=1), toy_dataset(4, seed=2)),
        "faulty": faulty,
        "two rows": lambda: whole(two, two, two),
        "one row": lambda: whole(two.subset([0]), two.subset([1]), two.subset([1])),
        "one class": lambda: whole(rows_of(toys.texts, ["animals"] * len(toys)), toys),
        "a class of one row": lambda: whole(rows_of(toys.texts, ["rare", *toys.labels[1:]]), toys),
        "equal texts": lambda: whole(equal, equal, equal),
        "odd texts": lambda: whole(odd, odd, odd),
        "no labels": lambda: whole(rows_of(toys.texts, [None] * len(toys)), toys, toys),
        "some labels": lambda: whole(rows_of(toys.texts, [None, *toys.labels[1:]]), toys, toys),
        "a test without labels": lambda: whole(toys, rows_of(toys.texts, [None] * len(toys))),
        "memory, no row numbers": lambda: whole(
            toys.replace(examples=[replace(one, row=0, id=str(at), fields={}) for at, one in enumerate(toys)]),
            toys,
            toys,
        ),
        "preferences": lambda: whole(preferred(), preferred().subset(range(4)), toys),
        "single answers": lambda: whole(preferred(single=True), toys),
        "a class for each row": lambda: whole(rows_of(toys.texts, [f"c{row}" for row in range(len(toys))]), toys, toys),
    }


class CheckContract:
    """What every check promises, whatever it is given."""

    @pytest.fixture
    def check(self) -> type[Check]:
        """The implementation under test."""
        raise NotImplementedError("give a fixture `check`")

    @pytest.fixture(params=list(grounds()))
    def ground(self, request: pytest.FixtureRequest, check: type[Check]) -> Ground:
        """One of `grounds()`; skipped where it lacks what the check says it needs."""
        made = grounds()[request.param]()
        if not all(made.has(need) for need in check.needs):
            pytest.skip("needs are not met: the check would not be run")
        return made

    def test_it_is_named_and_says_what_it_asks(self, check: type[Check]) -> None:
        assert check.name.isidentifier()
        assert check.name == check.name.lower()
        assert check.title[:1].isupper()
        assert not check.title.endswith(".")
        assert check.question().endswith(".")
        assert check.question() != Check.question()
        assert check.needs <= set(get_args(Need)) == set(LACKING)

    def test_every_finding_can_be_read(self, check: type[Check], ground: Ground) -> None:
        """Whole sentences; JSON all through; under the check's own name."""
        for finding in check().run(ground):
            assert finding.check == check.name
            assert finding.severity in SEVERITIES
            for sentence in (finding.what, finding.reason, finding.do):
                assert is_sentence(sentence), sentence
            assert all(row.note == row.note.strip() for row in finding.rows)
            json.dumps(dict(finding.numbers), allow_nan=False)
            json.dumps([row.score for row in finding.rows], allow_nan=False)
            assert all(type(row.score) in (float, int, type(None)) for row in finding.rows), "Python's own numbers"

    def test_rows_are_those_of_the_files(self, check: type[Check], ground: Ground) -> None:
        """A row that is named is there, with this text, label and number; none is named twice in a finding."""
        for finding in check().run(ground):
            for row in finding.rows:
                there = [(one.row, one.id, one.text, one.label) for one in ground[row.part]]
                assert (row.row, row.id, row.text, row.label) in there
            named = [(row.part, row.id) for row in finding.rows]
            assert len(named) == len(set(named)), f"{finding.what} names a row twice"

    def test_it_gives_the_same_every_time(self, check: type[Check], ground: Ground) -> None:
        """On the same ground, on a fresh one, and whatever chance does outside."""
        first = told(check, ground)
        # The point is to stir what a check must not depend on.
        np.random.seed(11)
        before = np.random.get_state()[1].copy()  # type: ignore[index]
        assert told(check, ground) == first
        assert np.array_equal(np.random.get_state()[1], before), "the check moved the caller's random stream"  # type: ignore[index]
        again = Ground(**{name: getattr(ground, name) for name in ground.__dataclass_fields__})
        assert told(check, again) == first

    def test_it_changes_nothing(self, check: type[Check], ground: Ground) -> None:
        """Rows, vectors and predictions are as they were."""
        prints = {part: data.fingerprint for part, data in ground.parts}
        fields = {part: [dict(one.fields) for one in data] for part, data in ground.parts}
        vectors = {part: ground.vectors(part).copy() for part in prints}
        probs = ground.predictions.probs_NC.copy() if ground.has("predictions") else None
        told(check, ground)
        assert {part: data.fingerprint for part, data in ground.parts} == prints
        assert {part: [dict(one.fields) for one in data] for part, data in ground.parts} == fields
        for part, before in vectors.items():
            np.testing.assert_array_equal(ground.vectors(part), before)
        if probs is not None:
            np.testing.assert_array_equal(ground.predictions.probs_NC, probs)

    def test_it_asks_for_no_more_than_its_needs(self, check: type[Check]) -> None:
        """With what it did not name taken away it runs all the same."""
        full = faulty()
        fields: dict[Need, tuple[str, ...]] = {
            "test": ("test",),
            "unlabelled": ("unlabelled",),
            "about": ("about",),
            "vectors": ("embed",),
            "tokens": ("count_tokens", "most_tokens"),
            "predictions": ("predict",),
        }
        gone = {name: None for need, names in fields.items() if need not in check.needs for name in names}
        told(check, replace(full, **gone))  # type: ignore[arg-type]

    def test_it_can_be_stopped(self, check: type[Check]) -> None:
        """Findings come one by one: whoever asks may stop after the first."""
        assert len(list(islice(check().run(faulty()), 1))) <= 1


def told(check: type[Check], ground: Ground) -> list[Finding]:
    """All findings; a FewtuneError is an answer too, and must be the same each time."""
    try:
        return list(check().run(ground))
    except FewtuneError as error:
        return [Finding(check.name, "note", str(error), "", "")]


def is_sentence(text: str) -> bool:
    """Whether it begins as a sentence does, ends as one does, and is one line."""
    ends = text.endswith((".", "?", "!", ".)", '."', "`."))
    begins = not text[:1].islower() or text.startswith("fewtune ")
    return bool(text.strip()) and ends and begins and text == text.strip() and "\n" not in text
