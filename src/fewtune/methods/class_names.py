"""Class names as text: what `Refund_not_showing_up` says to an encoder, and whether a name says anything."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from fewtune.data.templates.words import spoken
from fewtune.methods.base import FloatArray, IntArray, Material

__all__ = ["are_words", "informative", "names_to_read", "spoken", "weight"]

FULL_WEIGHT_ROWS = 8
"""Up to this many labelled rows a class, a class name weighs as much as a row; beyond, 8 / rows: published gains are
+2 to +11 points at 8 a class and 0 or -1.5 at 64."""
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
    """Whether names point at the right class for the labelled rows clearly more often than chance would.

    Names that do not describe their class cost up to 9 points as extra rows, so they must first be right on the rows
    of this fold by more than one standard error over chance.
    """
    classes = similarity_NC.shape[1]
    hits = float((similarity_NC.argmax(1) == labels_N).mean())
    chance = 1.0 / classes
    return bool(hits > chance + float(np.sqrt(chance * (1 - chance) / len(labels_N))))
