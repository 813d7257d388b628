"""Class names as text: what `Refund_not_showing_up` says to an encoder, and whether a name says anything."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from scipy.special import betaincc, betaln, xlog1py, xlogy

from fewtune.data.templates.words import spoken
from fewtune.methods.base import FloatArray, IntArray, Material

__all__ = ["are_words", "informative", "names_to_read", "spoken", "weight"]

FULL_WEIGHT_ROWS = 8
"""Up to this many labelled rows a class, a class name weighs as much as a row; beyond, 8 / rows: published gains are
+2 to +11 points at 8 a class and 0 or -1.5 at 64."""
ODDS = 4.0
"""That names which are words describe their classes, before a row is looked at: they do in all six benchmark sets."""
_CODE = re.compile(r"^(?:label|class|cat|category|c|l|id|topic|cluster|type)?[\W_]*\d+$|^\W*$", re.IGNORECASE)


def names_to_read(material: Material) -> list[str] | None:
    """Each class as a text of its own, in the words of the template; None where a bare name says nothing."""
    if material.names:
        return list(material.names)
    return [spoken(name) for name in material.classes] if are_words(material.classes) else None


def are_words(classes: Sequence[str]) -> bool:
    """Whether every name could describe its class: no bare number, code or single letter among them."""
    return all(not _CODE.match(name.strip()) and len(re.findall(r"[^\W\d_]", name)) >= 2 for name in classes)


def weight(rows: int, classes: int) -> float:
    """How much one name counts beside a labelled row, fading as rows a class grow."""
    return float(min(1.0, FULL_WEIGHT_ROWS * classes / max(rows, 1)))


def informative(similarity_NC: FloatArray, labels_N: IntArray) -> bool:
    """Whether names probably point at the right classes, by how often they do for the labelled rows.

    Names of another meaning cost up to 9 points as extra rows, so a few rows must be asked; but names that are words
    nearly always describe their classes, and 10 of 16 rows are no reason to doubt it. So the odds are weighed: that so
    many rows are hit by chance, names and labels having nothing to do with one another, against any better rate being
    as likely as another (the marginal likelihood of a uniform prior), times `ODDS`.
    """
    rows, classes = similarity_NC.shape
    guess_N = similarity_NC.argmax(1)
    hits = int((guess_N == labels_N).sum())
    chance = float(np.bincount(labels_N, minlength=classes) @ np.bincount(guess_N, minlength=classes)) / rows**2
    above = betaincc(hits + 1, rows - hits + 1, chance)
    if chance >= 1 or above == 0:  # nothing can be better than chance; far below it
        return False
    # Both without the number of ways that so many rows can be hit.
    by_chance = xlogy(hits, chance) + xlog1py(rows - hits, -chance)
    by_meaning = betaln(hits + 1, rows - hits + 1) + np.log(above) - np.log1p(-chance)
    return bool(np.log(ODDS) + by_meaning > by_chance)
