"""Near copies: the exact prefix filter of `near.py` against MinHash with banding (datasketch), and seconds of processor
time by rows.

Both look for pairs of texts that share at least .8 of their 4-grams. Comparing all pairs of 4,000 texts gives the
truth. datasketch is in the `bench` extra.

    python benchmarks/audit/near_copies.py [DATA] [--rows 1000 10000 100000] [--out FILE]
"""

from __future__ import annotations

import random
import resource
import sys
import time
from pathlib import Path

import numpy as np
from common import options_of, skip_without, write

from fewtune.audit.near import GRAM, NEAR, SHORTEST, grams_of, near_pairs
from fewtune.audit.reworded import closeness_bar, reworded_pairs
from fewtune.audit.spelling import normalise
from fewtune.data.read import read

PERMUTATIONS = (128, 256)
TRUTH_ROWS = 4000
WIDTH = 384


def texts_of(folder: Path) -> list[str]:
    """Every distinct text of the few-shot sets, normalised."""
    found = dict.fromkeys(
        normalise(text)
        for name in sorted(path.name for path in folder.iterdir() if path.is_dir())
        for file in (folder / name).rglob("*.csv")
        for text in read(file, labelled=None).texts
    )
    return [text for text in found if len(text) >= SHORTEST]


def grown(texts: list[str], rows: int, rng: random.Random) -> list[str]:
    """As many texts, a fifth of them another with a few words changed: copies are rare in what is grown by mixing."""
    vocabulary = sorted({word for text in texts for word in text.split()})
    made = texts[:rows]
    while len(made) < rows:
        words = rng.choice(texts).split()
        for _ in range(1 if rng.random() < 0.2 else max(2, len(words) // 2)):
            words[rng.randrange(len(words))] = rng.choice(vocabulary)
        made.append(" ".join(words))
    return list(dict.fromkeys(made))


def by_prefix(texts: list[str]) -> set[tuple[int, int]]:
    """The pairs of near.py, those of the Jaccard rule alone."""
    return {
        (left, right)
        for left_P, right_P, similarity_P in near_pairs(texts)
        for left, right, similarity in zip(left_P.tolist(), right_P.tolist(), similarity_P.tolist(), strict=True)
        if similarity >= NEAR
    }


def by_minhash(texts: list[str], permutations: int) -> set[tuple[int, int]]:
    """Pairs that MinHash LSH proposes at the same threshold and whose estimate reaches it."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=NEAR, num_perm=permutations)
    sketches, found = [], set()
    grams = [[text[i : i + GRAM].encode() for i in range(len(text) - GRAM + 1)] for text in texts]
    for row, sketch in enumerate(MinHash.generator(grams, num_perm=permutations)):
        found |= {(other, row) for other in index.query(sketch) if sketches[other].jaccard(sketch) >= NEAR}
        index.insert(row, sketch)
        sketches.append(sketch)
    return found


def truth(texts: list[str]) -> set[tuple[int, int]]:
    """Every pair compared."""
    grams = grams_of(texts, shortest=SHORTEST).astype(np.float32)
    sizes = np.diff(grams.indptr)
    common = (grams @ grams.T).tocoo()
    keep = common.row < common.col
    left, right, shared = common.row[keep], common.col[keep], common.data[keep]
    near = shared / (sizes[left] + sizes[right] - shared) >= NEAR
    return set(zip(left[near].tolist(), right[near].tolist(), strict=True))


def timed(work, *arguments):
    """What it gives and its seconds of processor time, which a busy machine does not stretch."""
    started = time.process_time()
    found = work(*arguments)
    return found, round(time.process_time() - started, 2)


def main() -> int:
    """Run and write."""
    parser = options_of(__doc__, "near_copies.json")
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    options = parser.parse_args()
    skip_without(options.data)
    rng = random.Random(0)
    real = texts_of(options.data)
    rng.shuffle(real)
    found: dict[str, object] = {"distinct_real_texts": len(real)}

    some = grown(real[: TRUTH_ROWS // 2], TRUTH_ROWS, rng)
    wanted, seconds = timed(truth, some)
    rows = [{"method": "all pairs", "rows": len(some), "pairs": len(wanted), "recall": 1.0, "seconds": seconds}]
    methods = [("prefix filter", by_prefix, ())] + [
        (f"MinHash {count}", by_minhash, (count,)) for count in PERMUTATIONS
    ]
    for name, work, more in methods:
        pairs, seconds = timed(work, some, *more)
        right = len(pairs & wanted)
        rows.append(
            {
                "method": name,
                "rows": len(some),
                "pairs": len(pairs),
                "recall": round(right / len(wanted), 4),
                "precision": round(right / max(1, len(pairs)), 4),
                "seconds": seconds,
            }
        )
        print(rows[-1], flush=True)
    found["against_all_pairs"] = rows

    scale = []
    for count in options.rows:
        many = grown(real, count, rng)
        vectors = np.random.default_rng(0).normal(size=(len(many), WIDTH)).astype(np.float32)
        vectors += 0.7 * vectors[np.random.default_rng(1).integers(0, max(2, len(many) // 50), len(many))]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        entry = {"rows": len(many), "prefix_filter": timed(by_prefix, many)[1]}
        bar, entry["bar"] = timed(closeness_bar, many, vectors)
        _, entry["reworded"] = timed(lambda: reworded_pairs(many, vectors, at_least=bar))  # noqa: B023
        if count <= 10_000:
            entry["minhash_128"] = timed(by_minhash, many, 128)[1]
        entry["peak_gib_so_far"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
        scale.append(entry)
        print(entry, flush=True)
    found["seconds_by_rows"] = scale
    write(options.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
