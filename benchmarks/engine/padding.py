"""How much of what is computed is padding, on every shared set.

python benchmarks/engine/padding.py [--data DIR] [--out DIR]

Per set, rows of 8 a class, draw 0 (and its pool, where there is one, for the frozen passes):
- packed: training batches of 16 rows in random order, as LoRA has them; linear layers see no padding at all, so what is
  counted is attention, whose texts stand in groups of like length, by token and by pair of tokens, which it costs
- chunked: the same batches where an architecture cannot be packed
- frozen: what an encoder computes once, packed; attention sees texts of one exact length only
- peer: the same batches padded to their longest row, as a data collator does, in random order and grouped by length
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measure import DATA, HERE, machine, read_rows, skip_without, write_json

SETS = ("banking77", "sst2", "trec", "emotion", "sms_spam", "ag_news")
BATCH_SIZE = 16
PASSES = 20
PEER_GROUP = 50
"""Batches whose rows Trainer's `group_by_length` sorts together."""


def batches_of(count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Whole passes over the rows in random order."""
    queue = np.concatenate([rng.permutation(count) for _ in range(PASSES)])
    yield from (queue[start : start + BATCH_SIZE] for start in range(0, len(queue), BATCH_SIZE))


def share(real: float, computed: float) -> float:
    """Of what is computed, that which is padding."""
    return round(1 - real / computed, 4) if computed else 0.0


def packed(lengths: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Padding inside the groups that attention works on."""
    from fewtune.backbones.layout import Layout, filling

    linear = np.zeros(2)
    tokens, pairs = np.zeros(2), np.zeros(2)
    for rows in batches_of(len(lengths), rng):
        layout = Layout(lengths[rows], fill=filling(int(lengths[rows].sum())))
        linear += lengths[rows].sum(), layout.tokens
        for group in layout.groups(apart=True).groups:
            count, longest = group.real_BT.shape
            own = group.real_BT.sum(1).numpy()
            tokens += own.sum(), count * longest
            pairs += (own**2).sum(), count * longest**2
    return {"linear": share(*linear), "attention_tokens": share(*tokens), "attention_pairs": share(*pairs)}


def chunked(lengths: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Batches that are padded after being cut into chunks of like length."""
    from fewtune.backbones.batches import by_length
    from fewtune.backbones.body import CHUNK_TOKENS

    found = np.zeros(2)
    for rows in batches_of(len(lengths), rng):
        own = lengths[rows]
        for part in by_length(own.tolist(), token_budget=max(CHUNK_TOKENS, int(own.sum()) // 2)):
            found += own[part].sum(), len(part) * own[part].max()
    return {"tokens": share(*found)}


def frozen(encoder: Any, tokens: Sequence[Sequence[int]]) -> dict[str, float]:
    """What an encoder computes that is no token of a text: what fills packs up."""
    found = np.zeros(2)
    for rows, (ids_1S, _) in encoder._frozen._batches(tokens):
        found += sum(len(tokens[row]) for row in rows), ids_1S.numel()
    return {"texts": float(len(tokens)), "tokens": share(*found)}


def peer(lengths: np.ndarray, rng: np.random.Generator, *, grouped: bool) -> dict[str, float]:
    """Batches padded to their longest row."""
    found = np.zeros(2)
    for _ in range(PASSES):
        order = rng.permutation(len(lengths))
        if grouped:
            mega = BATCH_SIZE * min(PEER_GROUP, max(1, len(lengths) // (4 * BATCH_SIZE)))
            parts = [order[start : start + mega] for start in range(0, len(order), mega)]
            order = np.concatenate([part[np.argsort(-lengths[part], kind="stable")] for part in parts])
        for start in range(0, len(order), BATCH_SIZE):
            own = lengths[order[start : start + BATCH_SIZE]]
            found += own.sum(), len(own) * own.max()
    return {"tokens": share(*found)}


def measure(encoder: Any, folder: Path) -> dict[str, Any]:
    """One set."""
    texts, _ = read_rows(folder / "train.csv")
    tokens = encoder.tokens(texts)
    lengths = np.asarray([len(ids) for ids in tokens])
    everything = list(texts)
    if (folder / "pool.csv").exists():
        everything += [line for line in read_texts(folder / "pool.csv") if line]
    return {
        "rows": len(texts),
        "mean_length": round(float(lengths.mean()), 1),
        "longest": int(lengths.max()),
        "packed": packed(lengths, np.random.default_rng(0)),
        "chunked": chunked(lengths, np.random.default_rng(0)),
        "frozen": frozen(encoder, tokens),
        "frozen_with_pool": frozen(encoder, encoder.tokens(list(dict.fromkeys(everything)))),
        "peer": peer(lengths, np.random.default_rng(0), grouped=False),
        "peer_grouped": peer(lengths, np.random.default_rng(0), grouped=True),
    }


def read_texts(path: Path) -> list[str]:
    """The `text` column."""
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    skip_without(options.data)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from fewtune.backbones.load import load_encoder

    encoder = load_encoder()
    found = {name: measure(encoder, options.data / name / "8-0") for name in SETS}
    write_json(options.out / "padding.json", {"about": machine(), "batch_size": BATCH_SIZE, "sets": found})
    columns = {
        "linear layers": ("packed", "linear"),
        "attention, tokens": ("packed", "attention_tokens"),
        "attention, pairs": ("packed", "attention_pairs"),
        "unpackable": ("chunked", "tokens"),
        "frozen": ("frozen", "tokens"),
        "frozen with pool": ("frozen_with_pool", "tokens"),
        "padded to longest": ("peer", "tokens"),
        "grouped by length": ("peer_grouped", "tokens"),
    }
    print("| set | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
    for name, figures in found.items():
        cells = [f"{figures[part][key]:.1%}" for part, key in columns.values()]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
