"""Put a trained starter into the package: weights in bf16, tokenizer, log and curve.

python starter/export.py [--build starter/build] [--run run-decay]
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

import checkpoint
from pretrain import BUILD, ROOT, new_model

PACKAGE = ROOT / "fewtune_starter" / "model"
LARGEST = 30 << 20
"""Bytes of all files of the model together."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Export the last checkpoint of a run.")
    parser.add_argument("--build", type=Path, default=BUILD)
    parser.add_argument("--run", default="run-decay")
    parser.add_argument("--settings", type=Path, default=ROOT / "settings.json")
    parser.add_argument("--out", type=Path, default=PACKAGE)
    given = parser.parse_args()
    run = given.build / given.run
    found = checkpoint.steps(run)
    if not found:
        raise SystemExit(f"{run} holds no checkpoint. Train first: python starter/pretrain.py.")
    settings = json.loads(given.settings.read_text(encoding="utf-8"))
    export(found[-1], settings, given.build / "model", given.out)
    lines = read_log([given.build / "run", run])
    (ROOT / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    plot(lines, ROOT / "curve.png")


def export(found: Path, settings: dict[str, Any], tokenizer_folder: Path, out: Path) -> None:
    """Write a Hugging Face folder from a checkpoint and a tokenizer's folder; an older one is replaced whole."""
    from transformers import GenerationConfig

    weights, _, _ = checkpoint.load(found)
    model = new_model(settings, vocabulary=len(weights["model.embed_tokens.weight"]))
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing == ["lm_head.weight"], missing  # tied to the embedding
    assert not unexpected, unexpected
    model.config._attn_implementation = "sdpa"
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as partial:
        folder = Path(partial) / "model"
        model.to(torch.bfloat16).save_pretrained(folder)
        for file in sorted(tokenizer_folder.iterdir()):
            shutil.copy(file, folder)
        size = sum(file.stat().st_size for file in folder.iterdir())
        if size > LARGEST:
            raise SystemExit(f"The model takes {size >> 20} MB, more than {LARGEST >> 20}. Make it smaller.")
        shutil.rmtree(out, ignore_errors=True)
        folder.replace(out)


def read_log(runs: Iterable[Path]) -> list[dict[str, Any]]:
    """The lines of runs that go on from one another; what a kill or a later stage did again is left out."""
    kept: list[dict[str, Any]] = []
    for run in runs:
        file = run / "log.jsonl"
        for line in map(json.loads, file.read_text(encoding="utf-8").splitlines() if file.exists() else []):
            while kept and (kept[-1]["tokens"] > line["tokens"] or _same(kept[-1], line)):
                kept.pop()
            kept.append(line)
    return kept


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["tokens"] == other["tokens"] and one.keys() == other.keys()


def decays(lines: Iterable[dict[str, Any]]) -> list[tuple[int, int]]:
    """The tokens at the first and last line of each decay, its finish included."""
    falling = [list(part) for stable, part in groupby(lines, lambda line: line["stage"] == "stable") if not stable]
    return [(part[0]["tokens"], part[-1]["tokens"]) for part in falling]


def plot(lines: list[dict[str, Any]], file: Path) -> None:
    """Training and validation loss over the tokens seen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for key, label, style in (("loss", "training", "-"), ("validation_loss", "validation books", "o-")):
        points = [(line["tokens"] / 1e6, line[key]) for line in lines if key in line]
        axes.plot([x for x, _ in points], [y for _, y in points], style, label=label, markersize=3, linewidth=1)
    for number, (first, last) in enumerate(decays(lines)):
        axes.axvspan(first / 1e6, last / 1e6, alpha=0.15, label="_" if number else "decay")
    axes.set(xlabel="million tokens", ylabel="loss, nats a token")
    axes.legend()
    figure.savefig(file, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
