"""The one number that a study's randomness comes from."""

from __future__ import annotations

from typing import Any

from fewtune.errors import UsageError

MOST_SEED = 2**32 - 1
"""What scikit-learn takes."""


def check_seed(seed: Any) -> None:
    """Raises UsageError for what is no seed, told before anything is computed with it."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MOST_SEED:
        raise UsageError(f"seed must be a whole number, 0 or more and at most {MOST_SEED}, not {seed!r}.")
