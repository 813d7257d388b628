"""A 5-gram with modified Kneser-Ney smoothing (Chen & Goodman 1998), the ruler the starter is measured with.

Interpolated: the highest order counts occurrences, each lower order counts the different tokens seen before it, and
every order hands the mass it discounts (three discounts an order, from its counts of counts) to the order below; the
lowest hands it to the uniform distribution, so no token has probability zero.

An n-gram is known by a number, its rank among the n-grams of its order; the key of an n-gram is that of its first
n - 1 tokens times the vocabulary plus its last token. So a key of any order fits 64 bits, and counting is sorting.

Shapes: P positions in a text, G distinct n-grams of an order, C distinct contexts of an order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
ORDER = 5
UNSEEN = -1


@dataclass(frozen=True)
class Level:
    """One order: its n-grams as sorted keys, and what its formula needs of n-grams and contexts."""

    keys_G: Ints
    discounted_G: Floats
    """Count less its discount."""
    total_C: Floats
    """Sum of the counts of what follows a context."""
    handed_down_C: Floats
    """Mass of a context that goes to the order below, between 0 and 1."""


class KneserNey:
    """`fit` learns from a row of token numbers; `log2_probs` scores one."""

    def __init__(self, vocabulary: int, order: int = ORDER) -> None:
        self.vocabulary = vocabulary
        self.order = order

    def fit(self, tokens: npt.ArrayLike) -> KneserNey:
        """Count; the text must be longer than the order."""
        tokens_P = np.asarray(tokens, dtype=np.int64)
        assert len(tokens_P) > self.order, "the text is shorter than one n-gram"
        assert tokens_P.max() < self.vocabulary, "a token beyond the vocabulary"
        self.levels_: list[Level] = []
        context_ids_P = np.zeros(len(tokens_P) + 1, dtype=np.int64)  # before order 1 there is one context: none
        keys_G, counts_G, contexts = np.empty(0, np.int64), np.empty(0, np.int64), 1
        for n in range(1, self.order + 1):
            starts = len(tokens_P) - n + 1
            keys_P = context_ids_P[:starts] * self.vocabulary + tokens_P[n - 1 :]
            new_keys_G, first_G, ids_P, occurrences_G = _distinct(keys_P)
            if n > 1:  # the n-grams just found, each counted once at its last n - 1 tokens
                suffix_G = context_ids_P[first_G + 1]
                counts_G = np.bincount(suffix_G, minlength=len(keys_G))
                self.levels_.append(_level(keys_G, counts_G, self.vocabulary, contexts))
                contexts = len(keys_G)
            keys_G, counts_G, context_ids_P = new_keys_G, occurrences_G, ids_P
        self.levels_.append(_level(keys_G, counts_G, self.vocabulary, contexts))
        return self

    def log2_probs(self, tokens: npt.ArrayLike) -> Floats:
        """Log2 of the probability of each token after those before it, [P]; the first has no context."""
        tokens_P = np.asarray(tokens, dtype=np.int64)
        probs_P = np.full(len(tokens_P), 1 / self.vocabulary)
        ids_P = np.zeros(len(tokens_P), dtype=np.int64)  # of the n - 1 tokens before each position
        seen_P = np.ones(len(tokens_P), dtype=bool)
        for n, level in enumerate(self.levels_, start=1):
            keys_P = np.where(seen_P, ids_P * self.vocabulary + tokens_P, UNSEEN)
            found_P = _find(level.keys_G, keys_P)
            context_P = np.where(seen_P, ids_P, 0)
            known_P = seen_P & (level.total_C[context_P] > 0)
            own_P = np.where(found_P >= 0, level.discounted_G[found_P], 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                mixed_P = own_P / level.total_C[context_P] + level.handed_down_C[context_P] * probs_P
            probs_P = np.where(known_P, mixed_P, probs_P)
            # The n-gram that ends at a position is the context, one order up, of the position after it.
            ids_P = np.concatenate([[UNSEEN], found_P[:-1]])
            ids_P[:n] = UNSEEN
            seen_P = ids_P >= 0
        return np.asarray(np.log2(probs_P))


def _distinct(keys_P: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Sorted distinct keys, where each occurs first, each position's rank among them, how often each occurs."""
    order_P = np.argsort(keys_P, kind="stable")
    sorted_P = keys_P[order_P]
    opens_P = np.concatenate([[True], sorted_P[1:] != sorted_P[:-1]])
    starts_G = np.flatnonzero(opens_P)
    ids_P = np.empty(len(keys_P), dtype=np.int64)
    ids_P[order_P] = np.cumsum(opens_P) - 1
    return sorted_P[starts_G], order_P[starts_G], ids_P, np.diff(starts_G, append=len(keys_P))


def _level(keys_G: Ints, counts_G: Ints, vocabulary: int, contexts: int) -> Level:
    discounts = chen_goodman(counts_G)
    discount_G = discounts[np.minimum(counts_G, 3)]
    context_G = keys_G // vocabulary
    total_C: Floats = np.bincount(context_G, weights=counts_G, minlength=contexts).astype(np.float64)
    removed_C = np.bincount(context_G, weights=discount_G, minlength=contexts)
    handed_down_C = np.divide(removed_C, total_C, out=np.ones_like(removed_C), where=total_C > 0)
    return Level(keys_G, counts_G - discount_G, total_C, handed_down_C)


def chen_goodman(counts_G: Ints) -> Floats:
    """The discounts of counts 0, 1, 2 and 3 or more, from how many n-grams were counted once, twice, …

    A text too small to tell (one of these numbers of n-grams is nought, or the formula leaves the range from 0 to the
    count) is discounted by a half, one, and one and a half.
    """
    n1, n2, n3, n4 = (float(np.count_nonzero(counts_G == count)) for count in (1, 2, 3, 4))
    fallback = np.array([0.0, 0.5, 1.0, 1.5])
    if min(n1, n2, n3, n4) == 0:
        return fallback
    y = n1 / (n1 + 2 * n2)
    discounts = np.array([0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    return discounts if bool(np.all((discounts >= 0) & (discounts <= np.arange(4)))) else fallback


def _find(keys_G: Ints, wanted_P: Ints) -> Ints:
    """The rank of each wanted key, UNSEEN where there is none."""
    rank_P = np.minimum(np.searchsorted(keys_G, wanted_P), len(keys_G) - 1)
    return np.where(keys_G[rank_P] == wanted_P, rank_P, UNSEEN)
