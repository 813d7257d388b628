"""Can the headline be believed? Coverage of its interval on real test sets (bar 4), and shuffled labels (bar 5).

Resamples for coverage: the rows of the five 64-a-class draws of a set are pooled and deduplicated; a resample takes
rows from the pool, without replacement, in the class proportions of the fixed test set (so that what is claimed and
what is tested are of the same kind), 60 or 200 rows in turn (banking77: 8 a class). The claim is the headline of a fit
on those rows; the truth is the accuracy of the refitted model on the whole test set.

Shuffled: the rows of an 8-a-class draw, labels permuted; the verdict must be "no better than the majority class".

    python benchmarks/fewshot/believe.py --part coverage --data DIR [--sets trec] [--methods probe,zero_shot]

A file a fit, in a folder a part: finished fits are never run again, and several processes may share the sets.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
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
    left, fixed, label_of = halves(data, name)
    classes = len(set(label_of.values()))
    size = 8 * classes if classes > 20 else SIZES[number % len(SIZES)]
    picked = [left[place] for place in np.random.default_rng(1000 + number).permutation(len(left))[:size]]
    return picked, [label_of[text] for text in picked], fixed, [label_of[text] for text in fixed]


def halves(data: Path, name: str) -> tuple[list[str], list[str], dict[str, str]]:
    """Everything labelled of a set: the texts resamples are drawn from, those of the fixed test, and all labels."""
    pooled: dict[str, str] = {}
    for folder in ["test.csv", *(f"64-{draw}/train.csv" for draw in range(5))]:
        texts, labels = read_rows(data / name / folder)
        pooled.update(zip(texts, labels, strict=True))
    rows = sorted(pooled)
    order = np.random.default_rng(99).permutation(len(rows))
    fixed = [rows[place] for place in order[: len(rows) // 2]]
    return [rows[place] for place in order[len(rows) // 2 :]], fixed, pooled


def shuffled(data: Path, name: str, number: int) -> tuple[list[str], list[str]]:
    """An 8-a-class draw with its labels permuted."""
    texts, labels = read_rows(data / name / f"8-{number % 5}" / "train.csv")
    return texts, np.random.default_rng(2000 + number).permutation(labels).tolist()


def fit(texts: list[str], labels: list[str], seed: int, methods: list[str] | None) -> Any:
    """A fit as a person runs it, but for the methods asked for."""
    from fewtune import TextClassifier

    return TextClassifier(methods=methods, random_state=seed).fit(texts, labels)


def covered(data: Path, name: str, number: int, methods: list[str] | None, design: str) -> dict[str, Any]:
    """Claim, truth, and whether the one's interval holds the other."""
    if design == "exchangeable":
        texts, labels, test_texts, test_labels = exchangeable(data, name, number)
    else:
        texts, labels = resample(data, name, number)
        test_texts, test_labels = read_rows(data / name / "test.csv")
    classifier = fit(texts, labels, number, methods)
    truth = float((classifier.predict(test_texts) == np.asarray(test_labels)).mean())
    claim = classifier.result_["winner"]["cv"]["accuracy"]
    return {
        "rows": len(texts),
        "claim": claim,
        "truth": truth,
        "covered": claim["low"] <= truth <= claim["high"],
        "winner": classifier.result_["winner"]["name"],
    }


def nothing_to_learn(data: Path, name: str, number: int, methods: list[str] | None) -> dict[str, Any]:
    """Did the verdict see that there is nothing?"""
    texts, labels = shuffled(data, name, number)
    sentence = fit(texts, labels, number, methods).result_["verdict"]["sentence"]
    return {"rows": len(texts), "told": "no better than the majority class" in sentence, "verdict": sentence}


def plan(part: str, fits: int) -> list[tuple[str, int]]:
    """Set and number of every fit of a part."""
    if part == "coverage":
        return [(name, number) for number in range(fits or 10) for name in SETS]
    names = [name for name in SETS if name != "banking77"]
    return [(names[number % len(names)], number) for number in range(fits or 20)]


def summary(lines: list[dict[str, Any]]) -> str:
    """The bar's number."""
    if "told" in lines[0]:
        return (
            f"{sum(line['told'] for line in lines)} of {len(lines)} fits on shuffled labels were seen to hold nothing"
        )
    share = np.mean([line["covered"] for line in lines])
    bias = np.mean([line["claim"]["mean"] - line["truth"] for line in lines])
    width = np.mean([line["claim"]["high"] - line["claim"]["low"] for line in lines])
    return f"{len(lines)} fits: covered {share:.3f}, mean claim - truth {bias:+.4f}, mean width {width:.3f}"


def main() -> int:
    """Run the fits of a part that are not done yet, a file a fit, and sum up all that are done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("coverage", "shuffled"), required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/fewshot"))
    parser.add_argument("--design", choices=("given", "exchangeable"), default="given")
    parser.add_argument("--methods", default="")
    parser.add_argument("--fits", type=int, default=0, help="per set for coverage (10), in all for shuffled (20)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="only these")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "believe")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        print(f"skipped: no benchmark data at {arguments.data}", file=sys.stderr)
        return 0
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    methods = arguments.methods.split(",") if arguments.methods else None
    told = [arguments.part, *([arguments.design] if arguments.part == "coverage" else []), *(methods or [])]
    folder = arguments.out / "-".join(told)
    folder.mkdir(parents=True, exist_ok=True)
    for name, number in plan(arguments.part, arguments.fits):
        target = folder / f"{name}-{number}.json"
        if name not in arguments.sets or target.exists():
            continue
        started = time.perf_counter()
        if arguments.part == "coverage":
            line = covered(arguments.data, name, number, methods, arguments.design)
        else:
            line = nothing_to_learn(arguments.data, name, number, methods)
        line = {"set": name, "number": number, **line, "seconds": round(time.perf_counter() - started, 1), **hardware()}
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(line, indent=1) + "\n")
        temporary.replace(target)
    done = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    for name in SETS:
        if mine := [line for line in done if line["set"] == name]:
            print(f"{name:>10}  {summary(mine)}")
    print(f"{'all':>10}  {summary(done)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
