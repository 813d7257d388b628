"""What the prefix cache costs and saves, and whether a text's bits depend on its company.

For each set: embeddings, then states after 4 layers, of N texts with the default backbone, each in a process of its
own, with a cold, a half-warm (every other text is kept) and a warm cache; with nothing kept on disk; and with 16 MB of
memory for states, which puts the rest on disk. Wall and processor seconds without the start of Python, peak memory
above what stood before, and bytes on disk. `padded` is the same without a cache in batches of like length, as most
libraries compute it.

`bits` asks how often the last layer's states of a text, computed in a batch of its exact length, differ in any bit
from those of another batch: with other rows, on two threads, in fewer tokens than `LEAST_TOKENS`, and padded.

    python benchmarks/engine/prefix.py [DATA] [--texts 1000] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import DATA, HERE, skip_without, write_json

SETS = ("banking77", "ag_news")
DEPTH = 4
LENGTHS = (3, 5, 8, 13, 16, 31, 64, 100, 200)
ROWS = (1, 2, 3, 5, 8, 15, 32)
STATES = ("cold", "half", "warm", "nothing kept", "little memory", "padded")


def one(texts: list[str], asked: str) -> dict[str, float]:
    """What one way of asking costs in this process."""
    from fewtune.backbones.load import load_encoder
    from fewtune.backbones.prefix import answers

    encoder = load_encoder()
    encoder.embed(["warm up the libraries"])
    ways: dict[str, Callable[[], object]] = {
        "embeddings": lambda: encoder.features(texts),
        "states": lambda: encoder.prepare(texts, DEPTH),
    }
    if asked == "padded":
        ways = {"embeddings": lambda: padded(encoder, texts), "states": lambda: padded(encoder, texts)}
    elif asked == "half":
        encoder.features(texts[::2])
        encoder.prepare(texts[::2], DEPTH)
        answers._flush_all()
        encoder = load_encoder()
    else:
        encoder.tokens(texts)
    found: dict[str, float] = {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, way in ways.items():
        wall, processor = time.perf_counter(), time.process_time()
        way()
        answers._flush_all()
        found[f"{name}_seconds"] = round(time.perf_counter() - wall, 3)
        found[f"{name}_cpu_seconds"] = round(time.process_time() - processor, 3)
    found["peak_mib"] = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1)
    return found


def padded(encoder: Any, texts: list[str]) -> None:
    """Batches of like length, padded to their longest; all layers, whatever is asked, as libraries do it."""
    import torch

    from fewtune.backbones import batches
    from fewtune.backbones.passes import TOKENS_PER_BATCH
    from fewtune.backbones.pooling import POOLS
    from fewtune.backbones.precision import compute_precision

    tokens = encoder.tokens(texts)
    for rows in batches.by_length([len(ids) for ids in tokens], token_budget=TOKENS_PER_BATCH):
        ids_BT, mask_BT = batches.pad_tokens([tokens[row] for row in rows], encoder.pad_id)
        with torch.no_grad(), compute_precision():
            answer = encoder.model(input_ids=ids_BT, attention_mask=mask_BT, output_hidden_states=True)
        POOLS[encoder.pooling.mode](answer.last_hidden_state.float(), mask_BT)


def bits() -> dict[str, Any]:
    """Shares of other batches that move a bit of a text's states."""
    import numpy as np
    import torch

    from fewtune.backbones import batches
    from fewtune.backbones.load import load_encoder
    from fewtune.backbones.passes import LEAST_TOKENS
    from fewtune.backbones.precision import compute_precision

    encoder, rng = load_encoder(), np.random.default_rng(0)

    def text(length: int) -> list[int]:
        return [101, *rng.integers(1000, 20000, length - 2).tolist(), 102]

    def states(tokens: list[list[int]], threads: int) -> torch.Tensor:
        torch.set_num_threads(threads)
        ids_BT, mask_BT = batches.pad_tokens(tokens, encoder.pad_id)
        with torch.no_grad(), compute_precision():
            return encoder.model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state[0, : len(tokens[0])]

    moved: dict[str, list[bool]] = {"rows": [], "threads": [], "few tokens": [], "padding": []}
    for length in LENGTHS:
        own = text(length)
        filled = [own] * -(-LEAST_TOKENS // length)
        usual = states(filled, 1)
        for rows in ROWS:
            others = [own, *(text(length) for _ in range(rows - 1))]
            for threads in (1, 2):
                differs = not torch.equal(states(others, threads), usual)
                few = rows * length < LEAST_TOKENS
                moved["few tokens" if few else "threads" if threads > 1 else "rows"].append(differs)
        for longer in (1, 4, 8, length):
            moved["padding"].append(not torch.equal(states([own, text(length + longer)], 1), usual))
    return {name: {"batches": len(seen), "moved": sum(seen)} for name, seen in moved.items()}


def in_process(*arguments: str, cache: str, threads: int = 1, **variables: str) -> Any:
    """What this file prints in a process of its own."""
    environment = {**os.environ, "FEWTUNE_CACHE": cache, "FEWTUNE_DEVICE": "cpu", "OMP_WAIT_POLICY": "PASSIVE"}
    environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **variables}
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(file: Path, count: int, precision: str) -> dict[str, Any]:
    """Every state of the cache for one set."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as kept, tempfile.TemporaryDirectory() as half:
        for asked in STATES:
            variables = {"FEWTUNE_PRECISION": precision}
            if asked in ("nothing kept", "padded"):
                variables["FEWTUNE_CACHE_LIMIT"] = "0"
            if asked == "little memory":
                variables["FEWTUNE_CACHE_MEMORY"] = "16MB"
            place = half if asked == "half" else kept if asked in ("cold", "warm") else tempfile.mkdtemp(dir=kept)
            found[asked] = in_process("--ask", asked, str(file), str(count), cache=place, **variables)
            if asked == "warm":
                found["bytes_on_disk"] = sum(p.stat().st_size for p in Path(kept).rglob("*.safetensors"))
            print(f"{file.parent.name:10} {precision:8} {asked:14} {found[asked]}", file=sys.stderr, flush=True)
    return found


def texts_of(file: Path, count: int) -> list[str]:
    """The first different texts of a set."""
    from fewtune.data.read import read

    return list(dict.fromkeys(read(str(file), text="text", label="label").texts))[:count]


def main() -> int:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "prefix.json")
    parser.add_argument("--ask", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--bits", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bits:
        print(json.dumps(bits()))
        return 0
    if options.ask:
        asked, file, count = options.ask
        print(json.dumps(one(texts_of(Path(file), int(count)), asked)))
        return 0
    skip_without(options.data)
    from fewtune.report.result import hardware, versions

    found: dict[str, Any] = {"texts": options.texts, "threads": 1, "versions": versions(), "hardware": hardware()}
    with tempfile.TemporaryDirectory() as cache:
        found["bits"] = {
            precision: in_process("--bits", cache=cache, threads=2, FEWTUNE_PRECISION=precision)
            for precision in ("bf16", "float32")
        }
    print(found["bits"], file=sys.stderr, flush=True)
    found["sets"] = {
        f"{name}, {precision}": measure(options.data / name / "test.csv", options.texts, precision)
        for name in SETS
        for precision in ("bf16", "float32")
    }
    found["load"] = os.getloadavg()
    write_json(options.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
