"""Which way of putting a text to the backbone is better: every format judged on the same splits, held against plain.

With m formats held against plain text, each verdict is made at the level 1 − 0.05 / m (Bonferroni): in nineteen of
twenty studies in which no format matters, none is called better or worse. Generative prompts join the list as methods
that read them do: a candidate is a recipe, and whoever proposes recipes is judged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fewtune.data.base import Dataset
from fewtune.data.templates.base import PLAIN, Template
from fewtune.methods.base import Method
from fewtune.methods.class_names import are_words
from fewtune.metrics.intervals import Interval, accuracy_interval
from fewtune.metrics.paired import Comparison, compare
from fewtune.recipe import Recipe
from fewtune.study.evaluator import Evaluator, Judged

CHANCE = 0.05
"""How often a study may call a format better or worse where none is."""
ASKED = "Classify the text"
SENTENCE = "This text is about {}."
SEPARATORS = {"a space": " ", "a line break": "\n", "a bar": " | "}


@dataclass(frozen=True)
class Candidate:
    """A format to judge."""

    name: str
    title: str
    recipe: Recipe


@dataclass(frozen=True)
class Finding:
    """What was found of one format."""

    candidate: Candidate
    accuracy: Interval
    seconds: float
    against_plain: Comparison | None
    """None for plain text itself."""


def candidates(
    dataset: Dataset,
    method: Method,
    backbone: str,
    *,
    instruction: str = ASKED,
    words: dict[str, str] | None = None,
    more: Sequence[tuple[str, Template]] = (),
) -> list[Candidate]:
    """The formats that apply to the rows, plain text first.

    Parameters
    ----------
    instruction : what is asked, in words.
    words : what classes are called, tried as a format of its own.
    more : further templates, by the names to call them.
    """
    found = [("plain", "Plain text", PLAIN)]
    found += [("query", "“query: ” in front", Template(prefix="query: "))]
    found += [("asked", f"“{instruction}: ” in front", Template(prefix=f"{instruction}: "))]
    found += [("instruction", "Instruction and text", Template("instruction", instruction=f"{instruction}."))]
    if dataset.pair_columns:
        found += _separators(dataset)
    if words:
        found += [("words", "Class words from the file", PLAIN.with_words(words))]
    reads_names = method.name == "zero_shot" or hasattr(method, "class_names")
    if reads_names and (words or are_words(dataset.classes)):
        spoken = PLAIN.with_words(words or {})
        found += [("sentence", "Class words in a sentence", replace(spoken, pattern=SENTENCE))]
    found += [(name, name, template) for name, template in more]
    made = [Candidate(name, title, Recipe(method, backbone, template)) for name, title, template in found]
    if hasattr(method, "class_names") and are_words(dataset.classes):
        without: Any = method
        made.append(Candidate("no names", "Without class words", Recipe(replace(without, class_names=False), backbone)))
    return made


def _separators(dataset: Dataset) -> list[tuple[str, str, Template]]:
    """Other ways to set the columns of a text apart than the backbone's own separator."""
    found = [(f"by {said}", f"Columns apart by {said}", Template(separator=mark)) for said, mark in SEPARATORS.items()]
    if len(dataset.pair_columns) == 1:
        first, second = dataset.text_column, dataset.pair_columns[0]
        named = Template(prefix=f"{first}: ", separator=f"\n{second}: ")
        found.append(("named", "Columns under their names", named))
    return found


def compare_formats(evaluator: Evaluator, tried: Sequence[Candidate]) -> list[Finding]:
    """Judge every candidate and hold it against the first, on the evaluator's splits."""
    level = 1 - CHANCE / max(1, len(tried) - 1)
    found: list[Finding] = []
    plain: Judged | None = None
    for candidate in tried:
        evaluator.progress.start(candidate.title, len(evaluator.splits))
        judged = evaluator.judge(candidate.recipe)
        oof, rows = judged.oof, len(judged.oof.labels_N)
        accuracy = accuracy_interval(oof.correct, oof.held_out, rows=rows, groups=oof.groups)
        against = None
        if plain is not None:
            against = compare(oof.correct, plain.oof.correct, oof.held_out, rows=rows, groups=oof.groups, level=level)
        plain = plain or judged
        evaluator.progress.finish(f"accuracy {float(np.concatenate(oof.correct).mean()):.3f}")
        found.append(Finding(candidate, accuracy, judged.seconds, against))
    return found


def to_json(found: Sequence[Finding]) -> dict[str, Any]:
    """The formats in the order tried, the one to take, and why."""
    better = [one for one in found if one.against_plain is not None and one.against_plain.verdict == "better"]
    best = max(better, key=lambda one: one.accuracy.mean, default=found[0])
    told = sum(one.against_plain is not None and one.against_plain.verdict != "cannot be told apart" for one in found)
    level = next((one.against_plain.level for one in found if one.against_plain is not None), 1 - CHANCE)
    if better:
        sentence = f"{best.candidate.title} is better than plain text on these rows."
    else:
        sentence = "No format is better than plain text as far as these rows can tell: keep it plain."
    return {
        "reference": found[0].candidate.name,
        "level": level,
        "told_apart": told,
        "best": best.candidate.name,
        "sentence": sentence,
        "formats": [_plain(one) for one in found],
    }


def _plain(one: Finding) -> dict[str, Any]:
    accuracy = {"mean": one.accuracy.mean, "low": one.accuracy.low, "high": one.accuracy.high}
    return {
        "name": one.candidate.name,
        "title": one.candidate.title,
        "recipe": one.candidate.recipe.to_json(),
        "template": one.candidate.recipe.template.to_json(),
        "accuracy": accuracy,
        "seconds": round(one.seconds, 2),
        "against_plain": None if one.against_plain is None else one.against_plain.to_json(),
    }
