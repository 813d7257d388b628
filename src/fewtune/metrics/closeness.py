"""How close a text comes to the answers that were given for its prompt: what lengths of tuning are compared by.

The loss is not enough for that. Few rows make a tuned model sure of itself before they make it write worse: right words
are given too little of a probability that has become too sharp, and the loss rises while what is written greedily,
which asks only which word comes first, still gets better. So where models wrote for the prompts held out, it is their
texts that are compared, by chrF (Popović 2015), which unlike BLEU says something of a single sentence.

Legend: B held-out rows of a split, N rows of a dataset.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fewtune.data.base import Example
from fewtune.data.exchanges import prompt_key
from fewtune.methods.base import FloatArray, IntArray, Written
from fewtune.metrics.ngrams import chrf


class Given:
    """The completions of each prompt of a dataset.

    Parameters
    ----------
    examples : [N].
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self._keys = [prompt_key(example) for example in examples]
        found: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for key, example in zip(self._keys, examples, strict=True):
            if example.completion:
                found[key][example.completion] = None
        self._completions = {key: tuple(texts) for key, texts in found.items()}

    def judged(self, written: Written, rows_B: IntArray) -> Written:
        """The same with its texts held against what was given; as it is where there are none, or nothing was given."""
        given = [self._completions.get(self._keys[row], ()) for row in rows_B]
        if written.texts is None or not written.texts or not all(given):
            return written
        return replace(written, closeness=chrf(written.texts, given).values_N())


def closeness(
    candidates: Sequence[Sequence[Written]], held_out: Sequence[IntArray]
) -> tuple[list[list[FloatArray]], list[IntArray]] | None:
    """Of each candidate, arrays [B] of those splits in which all of them wrote, and the rows of these splits.

    None where there is no such split.
    """
    splits = [
        split for split in range(len(held_out)) if all(parts[split].closeness is not None for parts in candidates)
    ]
    if not splits:
        return None
    found = [[np.asarray(parts[split].closeness) for split in splits] for parts in candidates]
    return found, [held_out[split] for split in splits]
