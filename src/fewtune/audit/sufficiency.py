"""Whether there are rows enough to tell anything: how wide intervals will be, and which gain a comparison can see.

The arithmetic is `fewtune/chance.py`, the same that `fewtune fit` measures with. What a model would score is taken from
the out-of-fold predictions where there are some, else assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from fewtune.audit.balance import independent
from fewtune.audit.base import Check, Finding, Ground, Need, Value
from fewtune.chance import (
    cross_validation_effect,
    half_width,
    power_to_see,
    rows_for_gain,
    rows_for_half_width,
    smallest_gain,
)
from fewtune.data.clean.base import points
from fewtune.plural import agreeing, counted

WIDTH = 0.05
GAIN = 0.03
ASSUMED = 0.8
"""Accuracy, and recall of each class, where no model has been asked."""
LEAST_DIFFERING = 0.05
"""Share of rows that two candidates are taken to differ on at least; else it is the share the model gets wrong: two
candidates of one accuracy that share half of their errors differ on as many rows as each gets wrong."""
WIDE = 0.1
"""Half the width of the accuracy's interval from which a result says hardly anything."""
FOLDS = 5
FEW = 500
"""Rows below which `fewtune fit` deals the folds twice."""


class Sufficiency(Check):
    """Whether these rows are enough: the width of intervals, and the gain a comparison can see."""

    name: ClassVar[str] = "sufficiency"
    title: ClassVar[str] = "Rows enough to tell"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """What the score, the classes, a comparison and the test file can tell; the gravest first."""
        if len(ground.train.classes) < 2:
            return
        rows = len(set(ground.groups))
        repeats = 2 if rows < FEW else 1
        effect, freedom = cross_validation_effect(FOLDS, repeats), FOLDS * repeats - 1
        accuracy = _accuracy(ground)
        # As in metrics/intervals.py: accuracy counts every row once, learnt from four fifths of them.
        width = half_width(accuracy, rows * (FOLDS - 1) / FOLDS)
        yield from _score(rows, accuracy, width)
        yield from _classes(ground, effect)
        differing = max(LEAST_DIFFERING, 1 - accuracy)
        yield from _comparison(rows, differing, effect, freedom)
        yield from _test(ground, accuracy)


def _accuracy(ground: Ground) -> float:
    if not ground.has("predictions"):
        return ASSUMED
    seen = ground.predictions
    return float((seen.probs_NC.argmax(1) == seen.labels_N).mean())


def _score(rows: int, accuracy: float, width: float) -> Iterator[Finding]:
    if width <= WIDE:
        return
    needed = rows_for_half_width(accuracy, WIDTH, effect=FOLDS / (FOLDS - 1))
    yield Finding(
        Sufficiency.name,
        "warning",
        f"{counted(rows, 'independent row')} {'tells' if rows == 1 else 'tell'} an accuracy to ±{points(width)}; for "
        f"±{points(WIDTH)} it takes about {needed:,}.",
        "With so few rows almost every method looks like every other, and the best one found is mostly luck.",
        "Label more rows before choosing between methods; `fewtune fit` draws the learning curve that says what more "
        "rows would bring.",
        numbers={"rows": rows, "accuracy": round(accuracy, 4), "half_width": round(width, 4), "rows_needed": needed},
    )


def _classes(ground: Ground, effect: float) -> Iterator[Finding]:
    """The rows a class needs for a recall known to ±5 points."""
    table: list[dict[str, Value]] = []
    for name, (rows, recall) in _recalls(ground).items():
        needed = rows_for_half_width(recall, WIDTH, effect=effect)
        width = half_width(recall, rows / effect)
        table.append(
            {
                "class": name,
                "rows": rows,
                "recall" if ground.has("predictions") else "assumed_recall": round(recall, 4),
                "half_width": round(width, 4),
                "rows_needed": needed,
            }
        )
    short = [one for one in table if float(str(one["half_width"])) > WIDTH]
    if not short:
        return
    least = min(int(str(one["rows_needed"])) for one in short)
    most = max(int(str(one["rows_needed"])) for one in short)
    widths = sorted(float(str(one["half_width"])) for one in short)
    typical = widths[len(widths) // 2]
    yield Finding(
        Sufficiency.name,
        "note",
        f"{len(short)} of {len(table)} classes {agreeing(len(short), 'has', 'have')} too few rows to "
        f"know their recall to ±{points(WIDTH)}: "
        f"typically it will be known to ±{points(typical)}.",
        f"That takes {least if least == most else f'{least} to {most}'} rows of a class, depending on how often it is "
        "recognised; a class's own line in the report moves this much by chance.",
        "Compare classes only where their intervals part; for a class that matters, label up to the number given.",
        numbers={"width": WIDTH, "measured": ground.has("predictions"), "classes": table},
    )


def _recalls(ground: Ground) -> dict[str, tuple[int, float]]:
    """Independent rows of each class and how often it is recognised, drawn towards the whole where rows are few."""
    classes = ground.train.classes
    sizes, alone = ground.train.class_sizes, independent(ground)
    if not ground.has("predictions"):
        return {name: (alone[name], ASSUMED) for name in classes}
    seen = ground.predictions
    right_N = seen.probs_NC.argmax(1) == seen.labels_N
    overall = float(right_N.mean())
    hits_C = np.bincount(seen.labels_N, weights=right_N, minlength=len(classes))
    # Two rows' worth of the whole: a class of three rows, all right, is not one that is always right.
    return {
        name: (alone[name], float((hits_C[place] + 2 * overall) / (sizes[name] + 2)))
        for place, name in enumerate(classes)
    }


def _comparison(rows: int, differing: float, effect: float, freedom: int) -> Iterator[Finding]:
    seen = smallest_gain(rows, differing, effect=effect, freedom=freedom)
    if seen <= GAIN:
        return
    power = power_to_see(GAIN, rows, differing, effect=effect, freedom=freedom)
    needed = rows_for_gain(GAIN, differing, effect=effect, freedom=freedom)
    yield Finding(
        Sufficiency.name,
        "note",
        f"A gain of {points(GAIN)} in accuracy would be seen {power:.0%} of the time with "
        f"{counted(rows, 'independent row')}; the smallest gain seen four times out of five is {points(seen)}.",
        "Two methods that differ by less will be called “cannot be told apart”, rightly: on other rows the order may "
        "turn.",
        f"To see {points(GAIN)}, label about {needed:,} rows; see the learning curve of `fewtune fit` for what more "
        "rows would bring.",
        numbers={
            "gain": GAIN,
            "power": round(power, 4),
            "smallest_gain": round(seen, 4),
            "rows": rows,
            "rows_needed": needed,
            "differing": round(differing, 4),
        },
    )


def _test(ground: Ground, accuracy: float) -> Iterator[Finding]:
    rows = 0 if ground.test is None else sum(example.label is not None for example in ground.test)
    if not rows or (width := half_width(accuracy, rows)) <= WIDTH:
        return
    needed = rows_for_half_width(accuracy, WIDTH)
    yield Finding(
        Sufficiency.name,
        "warning" if width > WIDE else "note",
        f"The {rows} labelled test rows tell an accuracy to ±{points(width)}; for ±{points(WIDTH)} it takes "
        f"{needed:,}.",
        "The score on the test file moves this much with the draw of its rows alone.",
        "Read it together with the cross-validated score, which uses every row.",
        numbers={"rows": rows, "half_width": round(width, 4), "rows_needed": needed},
    )
