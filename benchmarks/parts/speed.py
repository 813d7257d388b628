"""Seconds of processor time of the parts that must stay cheap beside a fit, one line a part: run on an idle machine."""

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from fewtune.audit.duplicates import duplicate_clusters
from fewtune.audit.near import LONGEST_POSTING
from fewtune.data.splits import repeated_folds
from fewtune.metrics.selection import bootstrap_bias_corrected


def template_letters() -> list[str]:
    """Thrice as many letters of one template as a posting list holds: the worst case for near-duplicate search."""
    letter = "Dear customer, your order {:05d} of last week has been shipped today and will reach you soon."
    return [letter.format(number) for number in range(3 * LONGEST_POSTING)]


def sentences(count: int, words: int = 20, vocabulary: int = 5000) -> list[str]:
    """Unrelated rows of random words."""
    codes = np.random.default_rng(0).integers(0, vocabulary, (count, words))
    return [" ".join(f"word{code}" for code in row) for row in codes]


def parts() -> dict[str, Callable[[], object]]:
    """What is timed, by name; the inputs are made before the clock starts."""
    rng = np.random.default_rng(0)
    labels = [f"class {code}" for code in rng.integers(0, 77, 5000)]
    groups = rng.integers(0, 2500, 5000).tolist()
    scores = (rng.random((12, 5000)) < 0.8).astype(float)
    rows, letters = sentences(5000), template_letters()
    return {
        "5 folds of 5,000 rows, 77 classes": lambda: repeated_folds(labels, folds=5, seed=0),
        "the same with 2,500 groups": lambda: repeated_folds(labels, groups, folds=5, seed=0),
        "BBC-CV of 12 candidates on 5,000 rows, 500 draws": lambda: bootstrap_bias_corrected(scores, draws=500),
        "duplicates in 5,000 unrelated rows": lambda: duplicate_clusters(rows),
        f"duplicates in {len(letters):,} letters of one template": lambda: duplicate_clusters(letters),
    }


def start_of(code: str) -> float:
    """Seconds until Python has run a line of code and ended, the best of three."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    repeated_folds(list("aabb"), folds=2, seed=0)  # the first call imports
    helping = "import sys; from fewtune.cli.main import app; sys.argv = ['fewtune', '--help']; app()"
    for name, code in (("python alone", "pass"), ("import fewtune", "import fewtune"), ("fewtune --help", helping)):
        print(f"{start_of(code):7.3f} s  {name} (wall time)")
    for name, part in parts().items():
        start = time.process_time()
        part()
        print(f"{time.process_time() - start:7.3f} s  {name}")


if __name__ == "__main__":
    main()
