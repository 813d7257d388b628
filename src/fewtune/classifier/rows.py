"""Texts and labels as scikit-learn's users have them: looked over one by one, each fault named by its place."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from fewtune.data.base import Dataset, Example
from fewtune.errors import UsageError, kind_of
from fewtune.plural import agreeing

MOST_NAMED = 5
"""Places that a message names; of more it says how many there are."""


def texts_of(X: Any, name: str = "X") -> list[str]:
    """Strings, of a list or of anything with one column. Raises UsageError for anything else."""
    if isinstance(X, str):
        raise UsageError(f"{name} is one string. Give a list of texts.")
    if getattr(X, "ndim", 1) == 2 and X.shape[1] != 1:
        raise UsageError(f"{name} has {X.shape[1]} columns. Give one column of texts.")
    values = list(np.asarray(X, dtype=object).ravel()) if getattr(X, "ndim", 1) == 2 else list(X)
    for place, value in enumerate(values):
        if not isinstance(value, str):
            raise UsageError(f"{name}[{place}] is {kind_of(value)}, not a text. Give a list of strings.")
    return [str(value) for value in values]


def told_of_empty(texts: Sequence[str], what: str, *, name: str = "X", depth: int) -> tuple[str, ...]:
    """A note on texts with nothing to read in them, given as a warning too; none where all say something.

    Parameters
    ----------
    what : becomes of such a text, and what to do about it.
    depth : calls between here and the line that is warned of.
    """
    places = [place for place, text in enumerate(texts) if not text.strip()]
    if not places:
        return ()
    named = ", ".join(f"{name}[{place}]" for place in places[:MOST_NAMED])
    more = ", …" if len(places) > MOST_NAMED else ""
    note = f"{len(places)} of {len(texts)} texts {agreeing(len(places), 'is', 'are')} empty ({named}{more}): {what}"
    warnings.warn(note, UserWarning, stacklevel=depth + 1)
    return (note,)


def labels_of(y: Any, rows: int) -> Any:
    """[N] labels as an array of strings, whole numbers, or floats that are whole numbers.

    Raises
    ------
    UsageError : with the place of the first label that cannot be meant.
    """
    if y is None:
        raise UsageError("y is missing. Give one label a text: this classifier requires y to be passed.")
    given = list(y)
    if len(given) != rows:
        raise UsageError(f"y has {len(given)} labels for {rows} texts. Give one label a text.")
    if not given:
        raise UsageError("X and y are empty. Give texts of two classes or more.")
    for place, label in enumerate(given):
        _check_label(label, place)
    words = [isinstance(label, str) for label in given]
    if any(words) and not all(words):
        what = f"y[{words.index(True)}] is a text and y[{words.index(False)}] a number: y mixes types."
        raise UsageError(f"{what} Give strings or whole numbers, one a text.")
    return np.asarray(given)


def _check_label(label: Any, place: int) -> None:
    if _absent(label):
        remedy = "Leave such rows out, or give their texts as unlabelled=…"
        raise UsageError(f"y[{place}] has no label ({label!r}). {remedy}")
    if isinstance(label, float | np.floating) and not float(label).is_integer():
        what = f"y[{place}] is {float(label):g}: fractions are no classes, and this is a classifier."
        raise UsageError(f"{what} Give class names or integer codes.")
    if not isinstance(label, str | int | np.integer | np.bool_ | float | np.floating):
        what = f"y[{place}] is {kind_of(label)}, not a label."
        raise UsageError(f"{what} Give one label a text, strings or whole numbers.")


def _absent(label: Any) -> bool:
    """Whether it is what Python, NumPy or pandas writes for no value."""
    if label is None or type(label).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(label, float | np.floating) and math.isnan(label)


def names_of(classes: Any) -> list[str]:
    """What the classes are called in a result and in a saved model: 1.0 is `1`."""
    return [str(int(label)) if isinstance(label, float) else str(label) for label in classes.tolist()]


def dataset_of(
    texts: list[str], labels: list[str], groups: Sequence[Hashable] | None, notes: tuple[str, ...] = ()
) -> Dataset:
    """Labelled rows. Raises UsageError for groups of another length."""
    if groups is not None and len(groups) != len(texts):
        raise UsageError(f"groups has {len(groups)} entries for {len(texts)} texts. Give one a text.")
    examples = tuple(
        Example(text, label, id=str(row + 1), group=None if groups is None else str(groups[row]), row=row + 1)
        for row, (text, label) in enumerate(zip(texts, labels, strict=True))
    )
    return Dataset(examples, notes=notes)


def pool_of(texts: list[str]) -> Dataset:
    """Rows without labels."""
    return Dataset(tuple(Example(text, row=row + 1) for row, text in enumerate(texts)), label_column=None)


__all__ = ["dataset_of", "labels_of", "names_of", "pool_of", "texts_of", "told_of_empty"]
