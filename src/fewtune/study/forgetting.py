"""What a tuning cost elsewhere: the chosen model against the same model untuned, on text the tuning was not about."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fewtune.data.base import Dataset, Example
from fewtune.data.general import to_write
from fewtune.methods.base import Writer, Written
from fewtune.methods.generation.base import ModelWriter
from fewtune.metrics.forgetting import measure_forgetting
from fewtune.metrics.likelihood import Likelihoods
from fewtune.study.budget import Budget, BudgetSpent

FIRST = 4
"""Rows scored before it is said whether there is time for the rest."""
NOT_TUNED = "The chosen model was not tuned: it has forgotten nothing."
NO_TIME = "There was no time left to measure what the model forgot. Give more with --budget."


def forgetting(
    fitted: Writer, trained: bool, sets: Sequence[tuple[str, Dataset]], budget: Budget, *, seed: int = 0
) -> dict[str, Any]:
    """Bits per byte of each set before and after tuning, paired.

    Parameters
    ----------
    fitted : the chosen model.
    trained : whether its weights moved; else there is nothing to measure.
    sets : what it is measured on, by name.
    budget : nothing is begun that it cannot pay for.
    seed : of the bootstrap.

    Returns
    -------
    dict
        `{"measured": [...], "skipped": [reasons]}`, plain values.
    """
    if not trained:
        return {"measured": [], "skipped": [NOT_TUNED]}
    assert isinstance(fitted, ModelWriter)
    untuned = fitted.untuned()
    measured, skipped = list[dict[str, Any]](), list[str]()
    for name, dataset in sets:
        try:
            examples = [to_write(example, fitted.language_model.kind) for example in dataset]
            before, after = _both(untuned, fitted, examples, budget)
        except BudgetSpent:
            skipped.append(f"{name}: {NO_TIME}")
            continue
        scored_N = (before.bytes > 0) & (before.tokens > 0)
        if not scored_N.any():
            skipped.append(f"{name}: no row has anything to score.")
            continue
        kept = np.flatnonzero(scored_N)
        found = measure_forgetting(
            _likelihoods(before.subset(kept)),
            _likelihoods(after.subset(kept)),
            name=name,
            texts=[_shown(dataset.examples[row]) for row in kept],
            seed=seed,
        )
        measured.append({"source": dataset.source, **found.to_json()})
    return {"measured": measured, "skipped": skipped}


def _both(untuned: Writer, tuned: Writer, examples: Sequence[Example], budget: Budget) -> tuple[Written, Written]:
    """What the rows cost before and after. Raises BudgetSpent once it is clear that the time will not do."""
    budget.check()
    started = time.perf_counter()
    for model in (untuned, tuned):  # the first call also pays for what is computed once
        model.costs(examples[:FIRST])
    budget.afford((time.perf_counter() - started) / len(examples[:FIRST]) * len(examples))
    return untuned.costs(examples), tuned.costs(examples)


def _likelihoods(costs: Written) -> Likelihoods:
    return Likelihoods.of(costs.nll, costs.tokens, bytes_N=costs.bytes)


def _shown(example: Example) -> str:
    return example.text if example.completion is None else f"{example.prompt} → {example.completion}"


__all__ = ["forgetting"]
