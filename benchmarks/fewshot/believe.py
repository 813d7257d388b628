"""Can the headline be believed? Coverage of its interval on real test sets (bar 4), and shuffled labels (bar 5).

Resamples for coverage: the rows of the five 64-a-class draws of a set are pooled and deduplicated; a resample takes
rows from the pool, without replacement, in the class proportions of the fixed test set (so that what is claimed and
what is tested are of the same kind), 60 or 200 rows in turn (banking77: 8 a class). The claim is the headline of a fit
on those rows; the truth is the accuracy of the refitted model on the whole test set.

Shuffled: the rows of an 8-a-class draw, labels permuted; the verdict must be "no better than the majority class".

    python benchmarks/fewshot/believe.py --part coverage --data DIR --out FILE [--methods probe,zero_shot]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from cell import SETS, hardware, read_rows  # noqa: E402

SIZES = (60, 200)


def resample(data: Path, name: str, number: int) -> tuple[list[str], list[str]]:
    """Rows in the test set's class proportions from the pooled draws."""
    pooled: dict[str, str] = {}
    for draw in range(5):
        texts, labels = read_rows(data / name / f"64-{draw}" / "train.csv")
        pooled.update(zip(texts, labels, strict=True))
    test_labels = np.asarray(read_rows(data / name / "test.csv")[1])
    classes, counts = np.unique(test_labels, return_counts=True)
    size = 8 * len(classes) if len(classes) > 20 else SIZES[number % len(SIZES)]
    rng = np.random.default_rng(1000 + number)
    chosen: list[tuple[str, str]] = []
    for label, count in zip(classes, counts, strict=True):
        mine = sorted(text for text, given in pooled.items() if given == label)
        wanted = max(2, round(size * count / len(test_labels)))
        picked = rng.permutation(len(mine))[:wanted]
        chosen += [(mine[place], str(label)) for place in picked]
    order = rng.permutation(len(chosen))
    return [chosen[place][0] for place in order], [chosen[place][1] for place in order]


def exchangeable(data: Path, name: str, number: int) -> tuple[list[str], list[str], list[str], list[str]]:
    """Train and test rows of one kind: everything labelled is pooled, half is the fixed test, resamples from the rest.

    Some sets' test rows are of another kind than their training rows (trec's are easier by 14 points), which no
    interval made from training rows can know of.
    """
    pooled: dict[str, str] = {}
    for folder in ["test.csv", *(f"64-{draw}/train.csv" for draw in range(5))]:
        texts, labels = read_rows(data / name / folder)
        pooled.update(zip(texts, labels, strict=True))
    rows = sorted(pooled)
    order = np.random.default_rng(99).permutation(len(rows))
    fixed = [rows[place] for place in order[: len(rows) // 2]]
    left = [rows[place] for place in order[len(rows) // 2 :]]
    classes = len(set(pooled.values()))
    size = 8 * classes if classes > 20 else SIZES[number % len(SIZES)]
    picked = [left[place] for place in np.random.default_rng(1000 + number).permutation(len(left))[:size]]
    return picked, [pooled[text] for text in picked], fixed, [pooled[text] for text in fixed]


def shuffled(data: Path, name: str, number: int) -> tuple[list[str], list[str]]:
    """An 8-a-class draw with its labels permuted."""
    texts, labels = read_rows(data / name / f"8-{number % 5}" / "train.csv")
    return texts, np.random.default_rng(2000 + number).permutation(labels).tolist()


def fit(texts: list[str], labels: list[str], seed: int, methods: list[str] | None) -> Any:
    """A fit as a person runs it, but for the methods asked for."""
    from fewtune import TextClassifier

    return TextClassifier(methods=methods, random_state=seed).fit(texts, labels)


def coverage(data: Path, methods: list[str] | None, fits: int, design: str) -> Iterator[dict[str, Any]]:
    """One line a fit: claim, truth, covered."""
    for number in range(fits):
        for name in SETS:
            if design == "exchangeable":
                texts, labels, test_texts, test_labels = exchangeable(data, name, number)
            else:
                texts, labels = resample(data, name, number)
                test_texts, test_labels = read_rows(data / name / "test.csv")
            started = time.perf_counter()
            classifier = fit(texts, labels, number, methods)
            truth = float((classifier.predict(test_texts) == np.asarray(test_labels)).mean())
            claim = classifier.result_["winner"]["cv"]["accuracy"]
            yield {
                "part": "coverage",
                "set": name,
                "number": number,
                "rows": len(texts),
                "claim": claim,
                "truth": truth,
                "covered": claim["low"] <= truth <= claim["high"],
                "winner": classifier.result_["winner"]["name"],
                "seconds": round(time.perf_counter() - started, 1),
            }


def nothing_to_learn(data: Path, methods: list[str] | None, fits: int) -> Iterator[dict[str, Any]]:
    """One line a fit: did the verdict see that there is nothing?"""
    names = [name for name in SETS if name != "banking77"]
    for number in range(fits):
        name = names[number % len(names)]
        texts, labels = shuffled(data, name, number)
        sentence = fit(texts, labels, number, methods).result_["verdict"]["sentence"]
        told = "no better than the majority class" in sentence
        yield {"part": "shuffled", "set": name, "number": number, "rows": len(texts), "told": told, "verdict": sentence}


def summary(lines: list[dict[str, Any]]) -> str:
    """The bar's number."""
    if lines[0]["part"] == "shuffled":
        return (
            f"{sum(line['told'] for line in lines)} of {len(lines)} fits on shuffled labels were seen to hold nothing"
        )
    covered = np.mean([line["covered"] for line in lines])
    bias = np.mean([line["claim"]["mean"] - line["truth"] for line in lines])
    width = np.mean([line["claim"]["high"] - line["claim"]["low"] for line in lines])
    return f"{len(lines)} fits: covered {covered:.3f}, mean claim - truth {bias:+.4f}, mean width {width:.3f}"


def main() -> int:
    """Run one part, a line a fit, and sum it up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("coverage", "shuffled"), required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/fewshot"))
    parser.add_argument("--design", choices=("given", "exchangeable"), default="given")
    parser.add_argument("--methods", default="")
    parser.add_argument("--fits", type=int, default=0, help="per set for coverage (10), in all for shuffled (20)")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if not arguments.data.exists():
        print(f"skipped: no benchmark data at {arguments.data}", file=sys.stderr)
        return 0
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    methods = arguments.methods.split(",") if arguments.methods else None
    if arguments.part == "coverage":
        found = coverage(arguments.data, methods, arguments.fits or 10, arguments.design)
    else:
        found = nothing_to_learn(arguments.data, methods, arguments.fits or 20)
    lines = []
    for line in found:
        lines.append(line)
        told = {
            "methods": arguments.methods or "all",
            "design": arguments.design,
            "summary": summary(lines),
            "fits": lines,
            **hardware(),
        }
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(told, indent=1) + "\n")
    print(summary(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
