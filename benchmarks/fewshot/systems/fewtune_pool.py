"""fewtune with the unlabelled pool."""

from __future__ import annotations

from pathlib import Path

from systems import fewtune_fit

NAME = "fewtune + pool"
EXTRA = fewtune_fit.EXTRA


def run(
    train: tuple[list[str], list[str]],
    test_texts: list[str],
    backbone: Path,
    seed: int,
    pool: list[str] | None = None,
) -> tuple[list[str], float]:
    """As `fewtune_fit`, the pool given."""
    return fewtune_fit.run(train, test_texts, backbone, seed, pool, with_pool=True)
