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
        rungs=_rungs(result["ladder"]),
    )
    return [str(label) for label in classifier.predict(test_texts)], seconds


def _rungs(ladder: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """What was judged, by method; by title what is another length of a method before it."""
    found: dict[str, dict[str, float]] = {}
    for rung in ladder:
        if rung["status"] == "judged":
            name = rung["title"] if rung["name"] in found else rung["name"]
            found[name] = {"accuracy": rung["cv"]["accuracy"]["mean"], "seconds": rung["seconds"]}
    return found
