"""Whether the chosen model gives its training rows back word for word, and held-out rows no less often."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from fewtune.data.base import Dataset
from fewtune.data.exchanges import prompt_key
from fewtune.methods.base import Writer
from fewtune.metrics.memorisation import measure_memorisation
from fewtune.study.budget import Budget

MOST_ROWS = 200
LEAST_ROWS = 10
"""Fewer say nothing about a share; of a smaller file, all."""
AT_ONCE = 25
NOT_TUNED = "The chosen model was not tuned: it has learnt no row by heart."
PLAIN_TEXT = "Plain texts have no prompts to ask with."
NO_TIME = "There was no time left to see whether training rows are given back. Give more with --budget."


def memorisation(
    fitted: Writer,
    trained: bool,
    dataset: Dataset,
    held_out: Mapping[int, str],
    budget: Budget,
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Ask with training prompts, greedily, and hold the answers against those for held-out prompts.

    Parameters
    ----------
    fitted : the chosen model, fitted on all rows.
    trained : whether its weights moved.
    held_out : row → what the same method wrote for it in the fold that had not seen it.
    budget : rows are asked for until it is spent.
    groups : [N] rows that count as one.
    seed : which rows are drawn.

    Returns
    -------
    dict
        What `measure_memorisation` found, as plain values; or `{"skipped": reason}`.
    """
    if not trained:
        return {"skipped": NOT_TUNED}
    if dataset.task != "generation":
        return {"skipped": PLAIN_TEXT}
    drawn = np.random.default_rng(seed).permutation(len(dataset))[:MOST_ROWS]
    texts = _answers(fitted, dataset, drawn.tolist(), budget)
    if len(texts) < min(LEAST_ROWS, len(drawn)):
        return {"skipped": NO_TIME}
    completions = _completions(dataset)
    asked, others = sorted(texts), sorted(held_out)
    number_N = [(example.row or place + 1) - 1 for place, example in enumerate(dataset)]
    found = measure_memorisation(
        [texts[row] for row in asked],
        [completions[row] for row in asked],
        held_out_outputs=[held_out[row] for row in others] if others else None,
        held_out_completions=[completions[row] for row in others] if others else None,
        groups=None if groups is None else [groups[row] for row in asked],
        held_out_groups=None if groups is None or not others else [groups[row] for row in others],
        rows=[number_N[row] for row in asked],
        held_out_rows=[number_N[row] for row in others],
        seed=seed,
    )
    return found.to_json()


def _answers(fitted: Writer, dataset: Dataset, rows: Sequence[int], budget: Budget) -> dict[int, str]:
    """Answers by row, as many as there is time for; a piece is begun only where the last one's time is left."""
    found: dict[int, str] = {}
    needed = 0.0
    for start in range(0, len(rows), AT_ONCE):
        if budget.left <= needed:
            break
        piece, started = rows[start : start + AT_ONCE], time.perf_counter()
        found.update(zip(piece, fitted.write([dataset.examples[row] for row in piece]), strict=True))
        needed = time.perf_counter() - started
    return found


def _completions(dataset: Dataset) -> list[list[str]]:
    """[N] the completions of each row's prompt: any of them is right."""
    said: dict[str, dict[str, None]] = {}
    for example in dataset:
        said.setdefault(prompt_key(example), {})[example.completion or ""] = None
    return [list(said[prompt_key(example)]) for example in dataset]


__all__ = ["memorisation"]
