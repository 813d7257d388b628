"""Classes told apart by an encoder and by a model that writes, on the same folds: where does asking for labels pay?

For each set and draw, all rungs are judged by cross-validation on the labelled rows, as `fewtune fit` does it; then
each is refitted on all of them and scored on rows of the fixed test set, the same for all. Losing rows stay.

    python benchmarks/generation/classify.py [DATA] [--sets trec sst2] [--rows 8] [--draws 0] [--writer starter]
        [--folds 2] [--test-rows 300] [--out FILE]
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.data.base import Dataset, Example
from fewtune.fitting import laid_out, rungs
from fewtune.report.result import hardware, versions
from fewtune.study.ladder import climb
from fewtune.study.progress import Progress
from fewtune.study.settings import Settings

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data" / "fewshot"
METHODS = ("zero_shot", "probe", "label_zero_shot", "label_few_shot", "label_lora", "top_layers")
TEST_SEED = 0
"""Of the draw of test rows: one for all draws and methods."""


def rows_of(path: Path) -> list[tuple[str, str]]:
    """Text and label of each row."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def dataset_of(rows: list[tuple[str, str]], name: str) -> Dataset:
    """Rows as a dataset."""
    examples = (Example(text, label, id=str(n), row=n) for n, (text, label) in enumerate(rows, start=1))
    return Dataset(tuple(examples), source=name)


def judged(folder: Path, draw: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One line a rung of one draw."""
    train = dataset_of(rows_of(folder / draw / "train.csv"), f"{folder.name}/{draw}")
    test = rows_of(folder / "test.csv")
    kept = np.random.default_rng(TEST_SEED).permutation(len(test))[: options.test_rows]
    texts, labels = [test[row][0] for row in kept], np.asarray([test[row][1] for row in kept])
    backbones, methods = ("default", options.writer), tuple(options.methods)
    limits = {"folds": options.folds, "repeats": 1, "executor": "serial"}
    settings = Settings(backbones=backbones, methods=methods, changes=tuple(options.set), **limits)
    with laid_out(train, settings, progress=Progress()) as (evaluator, _):
        climbed = climb(evaluator, rungs(settings, evaluator.context))
        for rung in climbed.rungs:
            assert rung.judged is not None, rung.reason
            started = time.perf_counter()
            fitted = evaluator.refit(rung.recipe)
            refitted = time.perf_counter()
            classes = np.asarray(train.classes)
            right = classes[fitted.predict_proba(texts).argmax(1)] == labels
            reads = rung.recipe.method.reads_text
            cv = float(np.concatenate(rung.judged.oof.correct).mean())
            yield {
                "set": folder.name,
                "draw": draw,
                "method": rung.recipe.method.name,
                "backbone": evaluator.context.backbones[rung.recipe.backbone].name if reads else None,
                "cv_accuracy": round(cv, 4),
                "test_accuracy": round(float(right.mean()), 4),
                "test_error": round(float(np.sqrt(right.mean() * (1 - right.mean()) / len(right))), 4),
                "fit_seconds": round(refitted - started, 2),
                "predict_seconds": round(time.perf_counter() - refitted, 2),
            }


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--sets", nargs="+", default=["trec", "sst2"])
    parser.add_argument("--rows", type=int, default=8, help="labelled rows a class")
    parser.add_argument("--draws", type=int, nargs="+", default=[0])
    parser.add_argument("--writer", default="starter")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--set", nargs="*", default=[], help="settings of methods, like label_lora.rate=3e-3")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--test-rows", type=int, default=300)
    parser.add_argument("--out", type=Path, default=HERE / "classify.json")
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"Skipped: there is no folder {options.data}. Give the folder of the few-shot sets.")
        return 0
    found = []
    for name in options.sets:
        for draw in options.draws:
            for line in judged(options.data / name, f"{options.rows}-{draw}", options):
                found.append(line)
                print(json.dumps(line), flush=True)
    asked = {
        key: getattr(options, key)
        for key in ("sets", "rows", "draws", "writer", "methods", "set", "folds", "test_rows")
    }
    result = {"asked": asked, "versions": versions(), "hardware": hardware(), "rungs": found}
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
