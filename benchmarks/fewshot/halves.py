"""How much easier are the rows that coverage's resamples come from than the fixed test rows they are held against?

`believe.py --design exchangeable` deals a set's rows into halves once, so that all ten resamples of a set share what
luck there was in the dealing. Here logistic regressions on the frozen encoder learn small samples of either half; each
is scored on the rest of its own half and on the other, so what samples of the one kind teach cancels out. The mean
over sets is to be taken off the mean of claim less truth.

    python benchmarks/fewshot/halves.py --data DIR
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from believe import SIZES, halves
from cell import SETS, default_backbone, hardware
from numpy.typing import NDArray

HERE = Path(__file__).parent
DRAWS = 40


def easier(
    X: NDArray[np.float32], y: NDArray[np.str_], inside: NDArray[np.bool_], sizes: tuple[int, ...], draws: int
) -> tuple[float, float]:
    """By how much rows `inside` are easier than the others, as a difference of accuracies, and its standard error.

    The error is that of the draws; of the two halves themselves there is one dealing, which is what is measured.
    """
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    found = []
    for draw in range(draws):
        gains = []
        for own in (inside, ~inside):
            rows = rng.permutation(np.flatnonzero(own))
            learnt, rest = np.split(rows, [sizes[draw % len(sizes)]])
            head = LogisticRegression(C=10, max_iter=500).fit(X[learnt], y[learnt])
            gains.append(np.mean(head.predict(X[rest]) == y[rest]) - np.mean(head.predict(X[~own]) == y[~own]))
        found.append((gains[0] - gains[1]) / 2)
    return float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(draws))


def main() -> int:
    """Measure every set that is not measured yet, a file a set, and print all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/fewshot"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "believe" / "halves")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        print(f"skipped: no benchmark data at {arguments.data}")
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.sets:
        target = arguments.out / f"{name}.json"
        if target.exists():
            continue
        from sentence_transformers import SentenceTransformer

        left, fixed, label_of = halves(arguments.data, name)
        texts = [*left, *fixed]
        X = SentenceTransformer(str(default_backbone()), device="cpu").encode(texts)
        y = np.array([label_of[text] for text in texts])
        classes = len(set(label_of.values()))
        sizes = (8 * classes,) if classes > 20 else SIZES
        mean, error = easier(X, y, np.arange(len(texts)) < len(left), sizes, DRAWS)
        line = {"set": name, "rows": len(texts), "draws": DRAWS, "easier": mean, "error": error, **hardware()}
        target.write_text(json.dumps(line, indent=1) + "\n")
    done = [json.loads(file.read_text()) for file in sorted(arguments.out.glob("*.json"))]
    for line in done:
        print(f"{line['set']:>10}  {line['rows']:>6} rows  {line['easier']:+.4f} ± {line['error']:.4f}")
    print(f"{'mean':>10}  {'':>11}  {np.mean([line['easier'] for line in done]):+.4f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
