"""Loss, perplexity and bits per byte, from what each row cost.

Loss is the mean per token, so two tokenizers cannot be compared by it: one that cuts finer has more tokens to spread
the same cost over. **Bits per byte** divides the same cost by the UTF-8 bytes of the text, which no tokenizer changes.
Rows are weighted by their length: all costs are summed, then divided once.

The cost of the token that ends a text belongs in the sum (a model must know when to stop); it has no bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fewtune.errors import UsageError
from fewtune.metrics.base import FloatArray
from fewtune.metrics.corpus import RowStatistics, ratio


@dataclass(frozen=True)
class Likelihoods:
    """What each row cost a model."""

    nll_N: FloatArray
    """Negative log-likelihood, in nats, summed over the row's tokens that count."""
    tokens_N: FloatArray
    """How many tokens that is."""
    bytes_N: FloatArray
    """UTF-8 bytes of the text they spell."""

    @classmethod
    def of(
        cls,
        nll_N: ArrayLike,
        tokens_N: ArrayLike,
        *,
        texts: Sequence[str] | None = None,
        bytes_N: ArrayLike | None = None,
    ) -> Likelihoods:
        """From sums over rows and either the texts that were scored or their bytes.

        Raises
        ------
        UsageError
            Where lengths differ, a cost is negative or no number, or nothing was scored.
        """
        if (texts is None) == (bytes_N is None):
            raise UsageError("Bits per byte needs either the texts or their bytes. Give `texts` or `bytes_N`.")
        counted = byte_counts(texts) if texts is not None else np.asarray(bytes_N, dtype=np.float64)
        found = cls(np.asarray(nll_N, dtype=np.float64), np.asarray(tokens_N, dtype=np.float64), counted)
        found.check()
        return found

    def check(self) -> None:
        """Whether the numbers can be meant."""
        if not len(self.nll_N) == len(self.tokens_N) == len(self.bytes_N) > 0:
            lengths = f"{len(self.nll_N)} costs, {len(self.tokens_N)} token counts, {len(self.bytes_N)} byte counts"
            raise UsageError(f"{lengths}: give one of each for every row.")
        # A cost of -0.0000001 is rounding.
        bad_N = ~np.isfinite(self.nll_N) | (self.nll_N < -1e-3) | (self.tokens_N < 0) | (self.bytes_N < 0)
        if bad_N.any():
            row = int(np.flatnonzero(bad_N)[0])
            raise UsageError(
                f"row {row + 1}: a loss of {self.nll_N[row]:g} over {self.tokens_N[row]:g} tokens cannot be. "
                "Sum the negative log-likelihood of the row's tokens, in nats."
            )
        if not self.tokens_N.sum() or not self.bytes_N.sum():
            raise UsageError("No token was scored: all rows are empty.")

    @property
    def rows(self) -> int:
        """N."""
        return len(self.nll_N)

    def loss(self) -> RowStatistics:
        """Nats a token."""
        return self._per("loss", self.tokens_N)

    def perplexity(self) -> RowStatistics:
        """The exponential of the loss."""
        stats_NF = np.stack([self.nll_N, self.tokens_N], axis=1)
        return RowStatistics("perplexity", stats_NF, _perplexity_of, higher_is_better=False, bounds=(1.0, np.inf))

    def bits_per_byte(self) -> RowStatistics:
        """Bits a UTF-8 byte."""
        return self._per("bits_per_byte", self.bytes_N * np.log(2))

    def _per(self, name: str, under_N: FloatArray) -> RowStatistics:
        stats_NF = np.stack([self.nll_N, under_N], axis=1)
        return RowStatistics(name, stats_NF, ratio, higher_is_better=False, bounds=(0.0, np.inf))


def byte_counts(texts: Sequence[str]) -> FloatArray:
    """[N] UTF-8 bytes of each text; a lone surrogate counts as the three bytes it would take."""
    return np.array([len(text.encode("utf-8", "surrogatepass")) for text in texts], dtype=np.float64)


def _perplexity_of(sums_F: FloatArray) -> FloatArray:
    # e to the 700 is all that fits a number; infinity would leave no difference to compare.
    return np.exp(np.minimum(ratio(sums_F), 700.0))


__all__ = ["Likelihoods", "byte_counts"]
