"""Are faults planted in preferences named, what is named with nothing planted, does the interval of length hold?

Draws of rows of HH-RLHF harmless (people's own choices, with faults of their own). One kind of fault a draw. What is
named beside the planted rows is counted as it is: an empty chosen answer, or one that begins with "Human:". How long a
prompt must be to be called repeated was chosen on these rows, the rest was not. The interval of how often
the longer answer was chosen is held against the share in all rows; and how often length is warned of, where sides are
swapped until the longer one is chosen at a given rate.

    python benchmarks/audit/preferences.py [DATA] [--rows 100 400] [--draws 40] [--out FILE]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import HERE, write

from fewtune.audit.base import Finding, Ground
from fewtune.audit.preference_conflicts import PreferenceConflicts
from fewtune.audit.preference_echoes import PreferenceEchoes
from fewtune.audit.preference_lengths import PreferenceLengths, of_pairs
from fewtune.audit.preference_rows import PreferenceRows
from fewtune.data.base import Dataset, Example
from fewtune.data.read import read

DATA = HERE.parents[2] / "shared" / "data" / "preference" / "hh_harmless.jsonl"
CHECKS = (PreferenceRows, PreferenceConflicts, PreferenceEchoes)
SHARE = 0.05
"""Of the rows, how many have the fault."""
RATES = (0.5, 0.55, 0.6, 0.7, 0.8)

Plant = Callable[[list[Example], list[int]], list[Example]]
"""Rows and the places to spoil → rows; those added at the end are faults too."""


def swapped(one: Example) -> Example:
    """The other answer preferred."""
    said = (*one.messages[:-1], replace(one.messages[-1], content=one.rejected)) if one.messages else ()
    return replace(one, completion=one.rejected, rejected=one.completion, messages=said)


def each(change: Callable[[Example], Example]) -> Plant:
    """A fault made in a row by itself."""

    def plant(rows: list[Example], places: list[int]) -> list[Example]:
        for place in places:
            rows[place] = change(rows[place])
        return rows

    return plant


def contradicting(rows: list[Example], places: list[int]) -> list[Example]:
    return rows + [replace(swapped(rows[place]), id=f"again-{place}", row=9000 + place) for place in places]


def circles(rows: list[Example], places: list[int]) -> list[Example]:
    """a over b is there; b over c and c over a are added."""
    for place in places:
        one, third = rows[place], f"Another answer altogether, number {place}."
        rows += [
            replace(one, completion=one.rejected, rejected=third, id=f"b-{place}", row=9000 + place),
            replace(one, completion=third, rejected=one.completion, id=f"c-{place}", row=9500 + place),
        ]
    return rows


PLANTED: dict[str, Plant] = {
    "nothing": lambda rows, places: rows,
    "an empty answer": each(lambda one: replace(one, completion=" ")),
    "equal answers": each(lambda one: replace(one, rejected=f"{one.completion} ")),
    "a contradiction": contradicting,
    "a circle": circles,
    "the prompt before the answer": each(lambda one: replace(one, completion=f"{one.text} {one.completion}")),
    "the next turn": each(lambda one: replace(one, completion=f"{one.completion}\n\nHuman: And then?")),
    "a mark of ChatML": each(lambda one: replace(one, completion=f"{one.completion}<|im_end|>")),
}


def named(dataset: Dataset) -> tuple[set[str], list[Finding]]:
    """Ids of the rows that some check names as a fault, and all that was found."""
    found = [finding for check in CHECKS for finding in check().run(Ground(dataset))]
    return {row.id for finding in found if finding.severity != "note" for row in finding.rows}, found


def one_draw(rows: list[Example], name: str, seed: int, like: Dataset) -> dict[str, float]:
    """Share of the planted rows that are named, and of the others."""
    rng = random.Random(seed)
    places = [] if name == "nothing" else rng.sample(range(len(rows)), max(1, round(SHARE * len(rows))))
    before = {one.id for one in rows}
    spoilt = PLANTED[name](list(rows), places)
    guilty = {rows[place].id for place in places} | {one.id for one in spoilt if one.id not in before}
    started = time.process_time()
    ids, _ = named(like.replace(examples=spoilt))
    return {
        "recall": len(ids & guilty) / len(guilty) if guilty else 1.0,
        "others_named": len(ids - guilty) / len(rows),
        "seconds": time.process_time() - started,
    }


def biased(rows: list[Example], rate: float, rng: random.Random) -> list[Example]:
    """Sides swapped until the longer answer is the chosen one at a rate."""
    found = []
    for one in rows:
        longer = len(one.completion or "") > len(one.rejected or "")
        found.append(one if longer == (rng.random() < rate) else swapped(one))
    return found


def lengths(whole: Dataset, draws: list[list[Example]], seed: int) -> dict[str, Any]:
    """How often the interval holds the share of all rows, and how often it warns at a given rate."""
    truth = of_pairs(whole)
    assert truth is not None
    told = [of_pairs(whole.replace(examples=rows)) for rows in draws]
    warned = {}
    for rate in RATES:
        rng = random.Random(seed)
        findings = [next(PreferenceLengths().run(Ground(whole.replace(examples=biased(r, rate, rng))))) for r in draws]
        warned[str(rate)] = sum(one.severity == "warning" for one in findings) / len(findings)
    return {
        "share_of_all": truth.share,
        "held": sum(one.low <= truth.share <= one.high for one in told if one) / len(told),
        "mean_width": sum(one.high - one.low for one in told if one) / len(told),
        "warned_at": warned,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--rows", nargs="+", type=int, default=[100, 400])
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--out", type=Path, default=HERE / "preferences.json")
    given = parser.parse_args()
    if not given.data.exists():
        print(f"skipped: {given.data} is not there (HH-RLHF harmless)", file=sys.stderr)
        return
    whole = read(given.data, labelled=None)
    cells = []
    for count in given.rows:
        draws = [random.Random(seed).sample(list(whole), count) for seed in range(given.draws)]
        for name in PLANTED:
            found = [one_draw(rows, name, seed, whole) for seed, rows in enumerate(draws)]
            means = {key: round(sum(one[key] for one in found) / len(found), 4) for key in found[0]}
            cells.append({"rows": count, "planted": name, **means})
            print(cells[-1])
        cells.append({"rows": count, "lengths": lengths(whole, draws, count)})
        print(cells[-1])
    ids, found = named(whole)
    of_all = {"rows": len(whole), "named": len(ids), "found": [[one.check, one.severity, one.what] for one in found]}
    write(
        given.out, {"set": given.data.stem, "share_planted": SHARE, "all": of_all, "draws": given.draws, "cells": cells}
    )


if __name__ == "__main__":
    main()
