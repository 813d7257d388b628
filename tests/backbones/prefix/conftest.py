"""A cache of small made-up values, and a count of how often each was computed."""

from __future__ import annotations

from collections import Counter

import pytest
from prefix_worlds import value

from fewtune.backbones.prefix import answers, limits
from fewtune.backbones.prefix.answers import Answers
from fewtune.backbones.prefix.limits import Room


@pytest.fixture(autouse=True)
def _any_machine_will_do(monkeypatch):
    """One with a small disk; one so slow that what is computed here would be worth keeping for the time it took."""
    monkeypatch.setattr(limits, "LEAST_FREE", 0)
    monkeypatch.setattr(answers, "WORTH_SECONDS", float("inf"))


@pytest.fixture
def worth_writing(monkeypatch):
    """Everything is dear enough to be written at once."""
    monkeypatch.setattr(answers, "WORTH_BYTES", 0)


@pytest.fixture
def counted():
    """What computes, and how often it computed which number."""
    seen = Counter()

    def compute(tokens):
        for row, ids in enumerate(tokens):
            seen[ids[0]] += 1
            yield [row], [value(ids[0])]

    compute.seen = seen
    return compute


@pytest.fixture
def opened(tmp_path, counted):
    """`opened(room=0)`: answers over the folder of this test, as another process would open them."""

    def make(room=1 << 30, folder=tmp_path / "prefix" / "kind", compute=counted):
        return Answers(compute, folder=folder, about={"name": "made up"}, room=Room(room))

    return make
