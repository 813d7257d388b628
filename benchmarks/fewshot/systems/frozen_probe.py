"""The frozen encoder and scikit-learn's logistic regression, both at their defaults."""

from __future__ import annotations

import time
from pathlib import Path

NAME = "frozen_probe"


def run(
    train: tuple[list[str], list[str]], test_texts: list[str], backbone: Path, seed: int, pool: list[str] | None = None
) -> tuple[list[str], float]:
    """Fit on `train`, predict `test_texts`; returns the labels and the seconds of the fit alone."""
    del pool, seed
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    encoder = SentenceTransformer(str(backbone), device="cpu")
    head = LogisticRegression().fit(encoder.encode(train[0]), train[1])
    seconds = time.perf_counter() - started
    return [str(label) for label in head.predict(encoder.encode(test_texts))], seconds
