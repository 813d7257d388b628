"""Worlds of texts in which the true score is known: a population of sentences, each written with chance mistakes."""

from __future__ import annotations

import numpy as np

WORDS = [
    "the",
    "old",
    "red",
    "door",
    "cafe",
    "serves",
    "good",
    "thai",
    "food",
    "near",
    "north",
    "park",
    "and",
    "is",
    "cheap",
]


def sentences(rng, rows, low=4, high=14):
    return [" ".join(rng.choice(WORDS, rng.integers(low, high))) for _ in range(rows)]


def spoiled(rng, texts, rate):
    """Each word replaced by another at `rate`, one in four of those left out; a row may be spared or hit as a whole."""
    found = []
    for text in texts:
        words = np.array(text.split(), dtype=object)
        # Rates differ by row, as they do for real systems: rows are not exchangeable bags of words.
        hit = rng.random(len(words)) < rate * rng.choice([0.3, 1.0, 1.7])
        words[hit] = rng.choice([*WORDS, "", "xyz"], hit.sum())
        found.append(" ".join(word for word in words if word))
    return found


def one_each(texts):
    return [[text] for text in texts]
