"""Do the checks keep silent where nothing is wrong, and speak where something is?

Quiet: training, test and unlabelled rows are random draws of one set. Loud: one thing is planted.

- `shift`: the unlabelled rows are those of another set; and, milder, one class of the set is left out of training.
- `coverage`: one class (a fifth of the classes, where there are many) is left out of the labelled rows.
- `outliers`: one row in a hundred comes from another set, each from a different place.
- `relevance`: one unlabelled row in twenty comes from another set. Recall and precision are of its rows.
- `class_pairs`: a random half of one class carries another name.

Rows of other sets are drawn from all five others together. `FAR`, `FAR_FROM_ROWS` and `FAR_FROM_WORDS` were set after
looking at these sets' distances, so their false alarms here are a description; the others have no threshold tuned here.

    python benchmarks/audit/false_alarms.py [DATA] [--draws 20] [--out FILE]
"""

from __future__ import annotations

import json
import sys
import warnings
from collections import defaultdict
from typing import Any

import numpy as np
from common import heap, options_of, skip_without, write

from fewtune.audit.base import Ground
from fewtune.audit.class_pairs import alike
from fewtune.audit.coverage import Coverage, uncovered
from fewtune.audit.outliers import Outliers
from fewtune.audit.relevance import Relevance
from fewtune.audit.shift import SEEN, tell_apart
from fewtune.auditing import lay
from fewtune.backbones.load import load_encoder
from fewtune.chance import cross_validation_effect
from fewtune.data.base import Dataset, Example

SETS = ("ag_news", "banking77", "emotion", "sms_spam", "sst2", "trec")
TRAIN, TEST, POOL = 300, 200, 600
PAIR_DRAWS = 3

Rows = list[tuple[str, str]]


def dataset(rows: Rows, *, labelled: bool = True) -> Dataset:
    """Rows as a dataset."""
    return Dataset(
        tuple(Example(text, label if labelled else None, id=str(r), row=r) for r, (text, label) in enumerate(rows, 1))
    )


def ground(encoder, train: Rows, test: Rows, pool: Rows, seed: int, *, model: bool = False) -> Ground:
    """What checks look at."""
    return lay(
        dataset(train),
        test=dataset(test),
        unlabelled=dataset(pool, labelled=False),
        encoder=encoder,
        model=model,
        seed=seed,
    )


def quiet(encoder, rows: Rows, rng: np.random.Generator, seed: int) -> dict[str, float]:
    """What is said of random draws."""
    drawn = [rows[place] for place in rng.permutation(len(rows))[: TRAIN + TEST + POOL]]
    clean = ground(encoder, drawn[:TRAIN], drawn[TRAIN : TRAIN + TEST], drawn[TRAIN + TEST :], seed)
    told = tell_apart(clean, "train", "unlabelled")
    assert told is not None
    narrow = told.auc - (told.auc - told.low) / np.sqrt(cross_validation_effect(5, 1))
    far = {name: sum(len(f.rows) for f in check().run(clean)) for name, check in FAR.items()}
    return {
        "shift_finding": told.low >= SEEN,
        "shift_interval_above_half": told.low > 0.5,
        "shift_interval_holds_half": told.low <= 0.5 <= told.high,
        "shift_above_half_without_correction": narrow > 0.5,
        "coverage_finding": bool(list(Coverage().run(clean))),
        **{f"{name}_share_of_rows": count / len(drawn) for name, count in far.items()},
    }


FAR = {"outliers": Outliers, "relevance": Relevance}


def loud(encoder, rows: Rows, foreign: Rows, rng: np.random.Generator, seed: int) -> dict[str, float]:
    """What is said where something is planted."""
    drawn = [rows[place] for place in rng.permutation(len(rows))]
    others = [foreign[place] for place in rng.permutation(len(foreign))]
    classes = sorted({label for _, label in rows})
    left_out = set(rng.permutation(classes)[: max(1, len(classes) // 5)])
    rest = drawn[TRAIN + TEST :]
    fewer = [row for row in drawn if row[1] not in left_out][:TRAIN]
    pool = [row for row in drawn if row not in set(fewer)][:POOL]
    partial = ground(encoder, fewer, drawn[:TEST], pool, seed)
    told, other = tell_apart(partial, "train", "unlabelled"), None
    mixed = ground(encoder, drawn[:TRAIN], drawn[TRAIN : TRAIN + TEST], others[:POOL], seed)
    other = tell_apart(mixed, "train", "unlabelled")
    assert told is not None
    assert other is not None
    missed = {
        row.text
        for row, label in zip(dataset(pool, labelled=False), (x for _, x in pool), strict=True)
        if label in left_out
    }
    found = uncovered(partial)
    named = [partial["unlabelled"].examples[row].text for cluster in found for row in cluster.rows]
    planted = others[: POOL // 20]
    stray = ground(encoder, drawn[:TRAIN], drawn[TRAIN : TRAIN + TEST], rest[: POOL - len(planted)] + planted, seed)
    off = [row.text for f in Relevance().run(stray) for row in f.rows if row.part == "unlabelled"]
    lone = ground(encoder, drawn[: TRAIN - 3] + others[:3], drawn[TRAIN : TRAIN + TEST], rest[:POOL], seed)
    far = [row.text for f in Outliers().run(lone) for row in f.rows if row.part == "train"]
    return {
        "shift_other_set": other.low >= SEEN,
        "shift_class_left_out": told.low >= SEEN,
        "coverage_class_left_out": bool(found),
        "coverage_rows_right": float(np.mean([text in missed for text in named])) if named else np.nan,
        "relevance_recall": np.mean([text in off for text, _ in planted]),
        "relevance_precision": np.mean([text in {t for t, _ in planted} for text in off]) if off else np.nan,
        "outliers_recall": np.mean([text in far for text, _ in others[:3]]),
    }


def pairs(encoder, rows: Rows, rng: np.random.Generator, seed: int) -> dict[str, float]:
    """Pairs of classes named, on clean rows and where one class goes by two names."""
    drawn = [rows[place] for place in rng.permutation(len(rows))[: TRAIN + TEST]]
    clean = ground(encoder, drawn, drawn[:1], drawn[:1], seed, model=True)
    sizes = clean.train.class_sizes
    split = max(sizes, key=sizes.__getitem__)
    renamed = [(text, f"{label} 2" if label == split and rng.random() < 0.5 else label) for text, label in drawn]
    twice = alike(ground(encoder, renamed, drawn[:1], drawn[:1], seed, model=True))
    right = [{pair.one, pair.other} == {split, f"{split} 2"} for pair in twice]
    return {
        "class_pairs_clean": len(alike(clean)),
        "class_pairs_found": any(right),
        "class_pairs_wrong_beside": len(right) - sum(right),
    }


def main() -> int:
    """Measure and write."""
    parser = options_of(__doc__, "false_alarms.json")
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    skip_without(options.data, SETS)
    warnings.simplefilter("ignore")
    encoder, heaps = load_encoder("default"), {name: list(heap(options.data / name).items()) for name in SETS}
    table: dict[str, dict[str, Any]] = {}
    for name, rows in heaps.items():
        foreign = [row for other, some in heaps.items() if other != name for row in some[:800]]
        seen: dict[str, list[float]] = defaultdict(list)
        for draw in range(options.draws):
            measured = quiet(encoder, rows, np.random.default_rng([3, draw]), draw)
            measured |= loud(encoder, rows, foreign, np.random.default_rng([4, draw]), draw)
            if draw < PAIR_DRAWS:
                measured |= pairs(encoder, rows, np.random.default_rng([5, draw]), draw)
            for key, value in measured.items():
                seen[key].append(float(value))
        table[name] = {
            key: round(float(np.nanmean(values)), 4) for key, values in seen.items() if not np.isnan(values).all()
        }
        print(name, json.dumps(table[name]), file=sys.stderr, flush=True)
    keys = dict.fromkeys(key for one in table.values() for key in one)
    table["mean"] = {key: round(float(np.mean([one[key] for one in table.values() if key in one])), 4) for key in keys}
    result = {"draws": options.draws, "rows": [TRAIN, TEST, POOL], "means": table}
    write(options.out, result)
    print(json.dumps(table["mean"], indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
