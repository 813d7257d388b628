"""Are planted marks and telling columns named, and published sets left alone?

Into a class of each few-shot set: a tag in brackets, the class's name before the text, a code at the end, on all of its
rows or half of them; and columns: customers of one label each, dates and numbers by class, and five of chance. What
is named with nothing planted is counted as it is: the sets are as published.

    python benchmarks/audit/artefacts.py [DATA] [--draws 0 1 2 3 4] [--out FILE]
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from common import options_of, skip_without, write

from fewtune.audit.base import Ground
from fewtune.audit.guard import guard
from fewtune.data.base import Dataset, Example
from fewtune.data.read import read

SETS = ("ag_news", "banking77", "emotion", "sms_spam", "sst2", "trec")
SHARES = (1.0, 0.5)

Spoil = Callable[[Example, int, random.Random], Example]


def marked(form: str, share: float) -> Spoil:
    """Texts of the first class (by number) with a mark."""

    def spoil(example: Example, label: int, rng: random.Random) -> Example:
        if label or rng.random() >= share:
            return example
        return replace(example, text=form.format(text=example.text, label=example.label))

    return spoil


def with_column(value: Callable[[int, random.Random], str]) -> Spoil:
    """Rows with one more column."""

    def spoil(example: Example, label: int, rng: random.Random) -> Example:
        return replace(example, fields={"column": value(label, rng)})

    return spoil


def chance(example: Example, label: int, rng: random.Random) -> Example:
    """Five columns that know nothing."""
    day = f"2024-{rng.randrange(1, 13):02d}-{rng.randrange(1, 28):02d}"
    fields = {
        "shop": rng.choice("ABCDE"),
        "customer": str(rng.randrange(60)),
        "amount": f"{rng.random():.4f}",
        "day": day,
        "code": f"{rng.choice('XYZ')}-{rng.randrange(10**6)}",
    }
    return replace(example, fields=fields)


PLANTED: dict[str, Spoil] = {
    **{f"tag {share}": marked("[URGENT] {text}", share) for share in SHARES},
    **{f"class name {share}": marked("{label}: {text}", share) for share in SHARES},
    **{f"code at the end {share}": marked("{text} (xk7)", share) for share in SHARES},
    "customer": with_column(lambda label, rng: f"c{label}-{rng.randrange(8)}"),
    "date": with_column(lambda label, rng: f"{2000 + label}-0{rng.randrange(1, 10)}-11"),
    "number": with_column(lambda label, rng: str(100 * label + rng.randrange(90))),
    "nothing": lambda example, label, rng: example,
    "columns of chance": chance,
}


def one(dataset: Dataset, spoil: Spoil, seed: int) -> dict[str, object]:
    """What the guard of a fit says, and how long it takes."""
    rng = random.Random(seed)
    codes = {label: code for code, label in enumerate(dataset.classes)}
    spoilt = [spoil(example, codes[example.label], rng) for example in dataset]
    rng.shuffle(spoilt)
    ground = Ground(dataset.replace(examples=spoilt))
    started = time.process_time()
    found = guard(ground)
    return {
        "found": [[finding.check, finding.severity, finding.what] for finding in found],
        "seconds": round(time.process_time() - started, 3),
    }


def main() -> int:
    """Run and write."""
    parser = options_of(__doc__, "artefacts.json")
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    skip_without(options.data)
    runs = []
    for name in SETS:
        for draw in options.draws:
            dataset = read(options.data / name / f"64-{draw}" / "train.csv")
            for planted, spoil in PLANTED.items():
                runs.append(
                    {"set": name, "draw": draw, "rows": len(dataset), "planted": planted, **one(dataset, spoil, draw)}
                )
    summary = {}
    for planted in PLANTED:
        mine = [run for run in runs if run["planted"] == planted]
        worst = [
            max((severity for _, severity, _ in run["found"]), key=("warning", "blocks").index, default="")
            for run in mine
        ]
        summary[planted] = {
            "runs": len(mine),
            "named": sum(bool(severity) for severity in worst) / len(mine),
            "blocks": worst.count("blocks") / len(mine),
            "seconds_mean": round(sum(run["seconds"] for run in mine) / len(mine), 3),
        }
        print(f"{planted:22} {summary[planted]}")
    found = {"summary": summary, "runs": runs}
    write(options.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
