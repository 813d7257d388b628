"""A probe sweep: 5 folds × 20 strengths × 10 class-name weights = 1,000 fits on 1,000 texts, after one encode.

python benchmarks/engine/probes.py [--data DIR] [--out DIR] [--runs N] [--peer]

By the ordinary path: 1,000 runs handed to the evaluator, which asks the default executor. Two sets, as the number of
classes decides the work: banking77 (77 classes) and ag_news (4, rows of its test file, as no training draw has 1,000).
Settings that are drawn at random are then fitted alone, in this process, and must give the same probabilities, bit for
bit. `--peer` times scikit-learn's LogisticRegression on a sample of the same fits as well.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from measure import DATA, HERE, PeakMemory, cpu_seconds, machine, read_rows, skip_without, write_json

FOLDS = 5
STRENGTHS = tuple(float(value) for value in np.logspace(-2, 3, 20).round(6))
NAME_WEIGHTS = tuple(float(value) for value in np.linspace(0.1, 1.0, 10).round(6))
TEXTS = 1000
SETS = {"banking77": "banking77/64-0/train.csv", "ag_news": "ag_news/test.csv"}
NAMES = {"World": "world news", "Sports": "sports", "Business": "business", "Sci/Tech": "science and technology"}
ALONE = 12


def sweep(path: Path, runs: int | None, peer: bool) -> dict[str, Any]:
    """One set."""
    from fewtune.backbones.load import load_encoder
    from fewtune.data.base import Dataset, Example
    from fewtune.data.splits import repeated_folds
    from fewtune.methods.probe import Probe
    from fewtune.recipe import Recipe
    from fewtune.study.evaluator import Evaluator
    from fewtune.tune.run import Context, Run, carry_out

    texts, labels = read_rows(path)
    chosen = np.random.default_rng(0).permutation(len(texts))[:TEXTS]
    rows = [Example(texts[row], NAMES.get(labels[row], labels[row]), id=str(row)) for row in chosen]
    dataset = Dataset(tuple(rows))
    encoder = load_encoder()
    context = Context(dataset, {"default": encoder})
    started = time.perf_counter()
    encoder.features([*dataset.texts, *(name.replace("_", " ") for name in dataset.classes)])
    encoding = time.perf_counter() - started

    splits = repeated_folds(dataset.labels, folds=FOLDS, repeats=1, seed=0)
    settings = itertools.product(range(FOLDS), STRENGTHS, NAME_WEIGHTS)
    plan = [
        Run(
            Recipe(Probe((strength,), strength, name_weight=weight, name_scales=(0.0,))),
            splits[fold].train,
            splits[fold].test,
            seed=fold,
        )
        for fold, strength, weight in settings
    ]
    if runs is not None:
        plan = [plan[int((place + 0.5) * len(plan) / runs)] for place in range(runs)]
    evaluator = Evaluator(context, splits)
    started, cpu = time.perf_counter(), cpu_seconds()
    outcomes = evaluator.outcomes(plan)
    seconds, spent = time.perf_counter() - started, cpu_seconds() - cpu

    sample = np.random.default_rng(1).permutation(len(plan))[:ALONE]
    alone = [carry_out(plan[place], context) for place in sample]
    gaps = [float(np.abs(o.probs - outcomes[place].probs).max()) for o, place in zip(alone, sample, strict=True)]
    accuracy = [
        float((o.probs.argmax(1) == context.labels[r.test]).mean()) for o, r in zip(outcomes, plan, strict=True)
    ]
    found: dict[str, Any] = {
        "classes": len(dataset.classes),
        "texts": len(dataset),
        "runs": len(plan),
        "encode_seconds": round(encoding, 2),
        "sweep_seconds": round(seconds, 2),
        "cpu_seconds": round(spent, 2),
        "fit_milliseconds": round(1000 * float(np.mean([o.seconds for o in outcomes])), 2),
        "accuracy_best": max(accuracy),
        "accuracy_mean": round(float(np.mean(accuracy)), 4),
        "largest_gap_to_the_run_alone": max(gaps),
        "fits_alone": len(sample),
        "names_were_rows": all("with class names" in outcome.notes[0] for outcome in outcomes),
    }
    if peer:
        found["scikit_learn"] = by_scikit_learn(context, plan, outcomes, sample)
    return found


def by_scikit_learn(context: Any, plan: list[Any], outcomes: list[Any], sample: np.ndarray) -> dict[str, Any]:
    """The same fits of a sample by scikit-learn on one BLAS thread: the time at its default tolerance, and how far it
    and fewtune then are from its fully converged answer on the held-out rows.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    from fewtune.methods.head_rows import head_rows

    seconds, theirs, ours = [], [], []
    for place in sample:
        run, method = plan[place], plan[place].recipe.method
        material = context.material(run)
        rows = head_rows(material, material.encoder.features, class_names=True, name_weight=method.name_weight)
        given = rows.vectors_ND.astype(np.float64), rows.labels_N, rows.weights_N
        test_ND = material.encoder.features([context.dataset.texts[row] for row in run.test]).astype(np.float64)
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            started = time.process_time()
            model = LogisticRegression(C=method.default_strength, max_iter=500).fit(*given)
            seconds.append(time.process_time() - started)
            converged = LogisticRegression(C=method.default_strength, max_iter=20_000, tol=1e-8).fit(*given)
        truth = converged.predict_proba(test_ND)
        theirs.append(float(np.abs(model.predict_proba(test_ND) - truth).max()))
        ours.append(float(np.abs(outcomes[place].probs - truth).max()))
    return {
        "fits": len(sample),
        "milliseconds_of_processor_a_fit": round(1000 * float(np.mean(seconds)), 1),
        "largest_gap_to_converged": {"scikit-learn": max(theirs), "fewtune": max(ours)},
        "median_gap_to_converged": {"scikit-learn": float(np.median(theirs)), "fewtune": float(np.median(ours))},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--runs", type=int, help="a quick look at this many of the 1,000")
    parser.add_argument("--peer", action="store_true", help="time scikit-learn on a sample too")
    parser.add_argument("--sets", default=",".join(SETS))
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    results: dict[str, Any] = {"about": machine(), "sets": {}}
    for name in options.sets.split(","):
        skip_without(options.data / SETS[name])
        with PeakMemory() as memory:
            found = sweep(options.data / SETS[name], options.runs, options.peer)
        results["sets"][name] = found | {"peak_memory_gib": memory.gib}
        print(
            f"{name}: {found['runs']} fits on {found['texts']} texts, {found['classes']} classes, in "
            f"{found['sweep_seconds']} s after {found['encode_seconds']} s of encoding; "
            f"largest gap to the run alone {found['largest_gap_to_the_run_alone']:.1e}"
        )
    results["about"]["load_average_after"] = round(os.getloadavg()[0], 2)
    write_json(options.out / ("probes.json" if options.runs is None else "probes-quick.json"), results)


if __name__ == "__main__":
    main()
