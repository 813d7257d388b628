"""fewtune as a person runs it: every rung, cross-validation, choice, refit; defaults throughout, no budget."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

NAME = "fewtune"
EXTRA: dict[str, Any] = {}


def run(
    train: tuple[list[str], list[str]],
    test_texts: list[str],
    backbone: Path,
    seed: int,
    pool: list[str] | None = None,
    *,
    with_pool: bool = False,
) -> tuple[list[str], float]:
    """Fit on `train`, predict `test_texts`; returns the labels and the seconds of the whole fit, import included."""
    started = time.perf_counter()
    from fewtune import TextClassifier

    classifier = TextClassifier(str(backbone), random_state=seed)
    classifier.fit(train[0], train[1], unlabelled=(pool or []) if with_pool else ())
    seconds = time.perf_counter() - started
    result = classifier.result_
    EXTRA.clear()
    EXTRA.update(
        winner=result["winner"]["name"],
        claimed=result["winner"]["cv"]["accuracy"],
        verdict=result["verdict"]["sentence"],
        rungs={
            rung["name"]: {"accuracy": rung["cv"]["accuracy"]["mean"], "seconds": rung["seconds"]}
            for rung in result["ladder"]
            if rung["status"] == "judged"
        },
    )
    return [str(label) for label in classifier.predict(test_texts)], seconds
