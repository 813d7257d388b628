"""BLEU and chrF: sacrebleu counts the n-grams of each row, numpy turns sums of counts into scores.

sacrebleu's own arithmetic takes one corpus at a time. A bootstrap asks for thousands, so it is written here once more
over arrays, and held to sacrebleu's numbers to 1e-9 by a test. Both run from 0 to 100, as sacrebleu gives them, so that
the number and its signature can be quoted as they stand.

References
----------
Papineni, Roukos, Ward, Zhu: BLEU: a method for automatic evaluation of machine translation. ACL 2002.
Popović: chrF: character n-gram F-score for automatic MT evaluation. WMT 2015.
Post: A call for clarity in reporting BLEU scores. WMT 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fewtune.metrics.base import BoolArray, FloatArray
from fewtune.metrics.corpus import RowStatistics

ORDERS = 4
"""Of BLEU's n-grams."""


def bleu(
    outputs: Sequence[str], references: Sequence[Sequence[str]], *, tokenize: str = "13a", lowercase: bool = False
) -> RowStatistics:
    """Corpus BLEU with sacrebleu's defaults (exponential smoothing).

    Parameters
    ----------
    outputs : [N] texts.
    references : [N] one or more for each.
    tokenize : one of sacrebleu's tokenizers: `13a`, `intl`, `char`, `zh`, `none`, …
    lowercase : fold case first.
    """
    from sacrebleu.metrics.bleu import BLEU

    # `force` only silences a hint on the terminal about text already split into words; no count depends on it.
    metric = BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
    stats_NF = _statistics(metric, outputs, references)
    return RowStatistics(
        "bleu", stats_NF, bleu_of, bounds=(0.0, 100.0), extremes=_bleu_extremes, signature=str(metric.get_signature())
    )


def chrf(outputs: Sequence[str], references: Sequence[Sequence[str]], *, word_order: int = 0) -> RowStatistics:
    """Corpus chrF2 with sacrebleu's defaults; `word_order=2` is chrF++."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF(word_order=word_order)
    stats_NF = _statistics(metric, outputs, references)
    return RowStatistics(
        "chrf",
        stats_NF,
        partial(chrf_of, beta=metric.beta),
        bounds=(0.0, 100.0),
        extremes=_chrf_extremes,
        signature=str(metric.get_signature()),
    )


def _statistics(metric: Any, outputs: Sequence[str], references: Sequence[Sequence[str]]) -> FloatArray:
    """[N, F] what sacrebleu counts in each row.

    Its public functions give corpus scores only. The private one they and its own significance tests stand on has
    kept its form since 2.0; a test holds the sums to the public scores.
    """
    most = max(len(given) for given in references)
    streams = [[given[place] if place < len(given) else None for given in references] for place in range(most)]
    return np.array(metric._extract_corpus_statistics(list(outputs), streams), dtype=np.float64)


def bleu_of(sums_F: FloatArray) -> FloatArray:
    """BLEU from summed [output length, reference length, n-grams found of orders 1 to 4, n-grams written]."""
    written, wanted = sums_F[..., 0], sums_F[..., 1]
    found_4, total_4 = sums_F[..., 2 : 2 + ORDERS], sums_F[..., 2 + ORDERS :]
    # Exponential smoothing: the k-th order without a match counts 1 / 2^k n-grams.
    halvings_4 = np.cumsum(found_4 == 0, axis=-1)
    counted_4 = np.where(found_4 > 0, found_4, 0.5**halvings_4)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log_precision = np.log(100 * counted_4 / total_4).mean(axis=-1)
        penalty = np.where(written < wanted, np.exp(1 - wanted / written), 1.0)
        score = penalty * np.exp(log_precision)
    # No match at all, or texts too short for four words in a row: 0, as sacrebleu has it.
    possible = (found_4 > 0).any(axis=-1) & (total_4 > 0).all(axis=-1)
    return np.where(possible, score, 0.0)


def _bleu_extremes(mean_F: FloatArray) -> tuple[FloatArray, FloatArray]:
    low_F, high_F = mean_F.copy(), mean_F.copy()
    low_F[2 : 2 + ORDERS] = 0.0
    # The reference itself: a text of n words has n − 1 pairs of words, and so on.
    high_F[0] = mean_F[1]
    high_F[2 : 2 + ORDERS] = high_F[2 + ORDERS :] = np.maximum(mean_F[1] - np.arange(ORDERS), 0)
    return low_F, high_F


def chrf_of(sums_F: FloatArray, *, beta: float = 2.0) -> FloatArray:
    """The score chrF has for summed [n-grams written, n-grams in the reference, n-grams in both], order after order."""
    counts = sums_F.reshape(*sums_F.shape[:-1], -1, 3)
    written, wanted, both = counts[..., 0], counts[..., 1], counts[..., 2]
    # An order that either side is too short for has no say.
    counts_order = (written > 0) & (wanted > 0)
    orders = np.maximum(counts_order.sum(axis=-1), 1)
    precision = _share(both, written, counts_order).sum(axis=-1) / orders
    recall = _share(both, wanted, counts_order).sum(axis=-1) / orders
    under = beta**2 * precision + recall
    over = 100 * (1 + beta**2) * precision * recall
    return _share(over, under, under > 0)


def _share(over: FloatArray, under: FloatArray, where: BoolArray) -> FloatArray:
    found: FloatArray = np.divide(over, under, out=np.zeros_like(over), where=where)
    return found


def _chrf_extremes(mean_F: FloatArray) -> tuple[FloatArray, FloatArray]:
    low_F, high_F = mean_F.copy(), mean_F.copy()
    low_F[2::3] = 0.0
    high_F[0::3] = high_F[2::3] = mean_F[1::3]
    return low_F, high_F


__all__ = ["bleu", "bleu_of", "chrf", "chrf_of"]
