"""Bits per byte of the starter beside a modified-Kneser-Ney 5-gram's, on the same held-out text, over the same tokens.

    python starter/evaluate.py [--build starter/build]

Written: evaluation.json, with each held-out book, the completions of held-out rows after their prompts, a short text of
our own (own_text.txt, which the tests score again), and what the starter writes greedily after a few openings.
The 5-gram learns from all training text; a second one from the children's books alone, in case that serves it better.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ngram import ORDER, KneserNey
from pretrain import BUILD, ROOT, token_rows
from scoring import STRIDE, bits_per_byte, log2_probs
from tokenizer import ASSISTANT, BOS, END, USER, render

MODEL = ROOT / "fewtune_starter" / "model"
ROWS = 400
"""Held-out rows scored of each source."""
OPENINGS = (
    "Once upon a time there was a little girl who lived",
    '"Where have you been?" asked the old woman.',
    "The ship had been at sea for three days when",
    "In the morning the children went down to the river, and",
)
PROMPTS = (
    "What is the capital of France?",
    "Is this film review positive or negative? It was dull and far too long.",
    "Give me three ideas for a birthday present.",
    "Write one sentence about a dog and a boat.",
)

Scorer = Callable[[Sequence[int]], npt.NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the starter beside a 5-gram.")
    parser.add_argument("--build", type=Path, default=BUILD)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--out", type=Path, default=ROOT / "evaluation.json")
    given = parser.parse_args()
    began = time.monotonic()
    model, tokenizer = _open(given.model)
    documents = _documents(given.build / "corpus" / "test.jsonl")
    scorers: dict[str, Scorer] = {"starter": lambda tokens: log2_probs(model, tokens)}
    for name, sources in (("ngram", None), ("ngram_children_only", {"children"})):
        scorers[name] = _ngram(given.build, len(tokenizer), sources)
    result = {
        "measure": "bits per byte, the end of a document counted, over the same tokens for every model",
        "ngram": {"order": ORDER, "smoothing": "modified Kneser-Ney, interpolated (Chen & Goodman 1998)"},
        "starter": {"context": 512, "stride": STRIDE, "arithmetic": "bf16"},
        **compare(documents, tokenizer, scorers),
        "samples": {opening: generate(model, tokenizer, BOS + opening) for opening in OPENINGS},
        "answers": {p: generate(model, tokenizer, f"{BOS}{USER}{p}{END}{ASSISTANT}") for p in PROMPTS},
        "machine": _machine(),
    }
    result["seconds"] = round(time.monotonic() - began, 1)
    given.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(result["held_out_books"], indent=1))


def compare(documents: list[dict[str, str]], tokenizer: Any, scorers: dict[str, Scorer]) -> dict[str, Any]:
    """Books one by one and together, rows by source, our own text."""
    books = {d["title"]: score_text(d["text"], tokenizer, scorers) for d in documents if "text" in d}
    rows = {
        source: score_rows([d for d in documents if d["source"] == source][:ROWS], tokenizer, scorers)
        for source in ("t0", "dolly")
    }
    together = _together(list(books.values()), scorers)
    best = min(together[name] for name in scorers if name != "starter")
    own = score_text((ROOT / "own_text.txt").read_text(encoding="utf-8").strip(), tokenizer, scorers)
    return {
        "held_out_books": {**together, "starter_under_best_ngram": round(1 - together["starter"] / best, 4)},
        "books": books,
        "completions_of_held_out_rows": rows,
        "own_text": own,
    }


def score_text(text: str, tokenizer: Any, scorers: dict[str, Scorer]) -> dict[str, float]:
    """Bits per byte of a text from its beginning to its end."""
    tokens = tokenizer(render({"text": text}), add_special_tokens=False, verbose=False)["input_ids"]
    size = len(text.encode())
    return {"bytes": size, **{name: round(bits_per_byte(score(tokens), size), 4) for name, score in scorers.items()}}


def score_rows(rows: list[dict[str, str]], tokenizer: Any, scorers: dict[str, Scorer]) -> dict[str, float]:
    """Bits per byte of the completions alone, each after its prompt in the chat template."""
    bits = dict.fromkeys(scorers, 0.0)
    size = 0
    for row in rows:
        tokens = tokenizer(render(row), add_special_tokens=False, verbose=False)["input_ids"]
        completion = len(tokenizer(row["completion"] + END, add_special_tokens=False)["input_ids"])
        size += len(row["completion"].encode())
        for name, score in scorers.items():
            bits[name] -= float(score(tokens)[-completion:].sum())
    return {"rows": len(rows), "bytes": size, **{name: round(total / size, 4) for name, total in bits.items()}}


def generate(model: Any, tokenizer: Any, prompt: str, length: int = 60) -> str:
    """What the model writes greedily after a prompt."""
    import torch

    inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        written = model.generate(**inputs, max_new_tokens=length, do_sample=False)[0]
    return str(tokenizer.decode(written[inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def _open(folder: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, local_files_only=True).eval()
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _ngram(build: Path, vocabulary: int, sources: set[str] | None) -> Scorer:
    rows = token_rows(build, "train")
    text = np.concatenate([tokens for source, tokens in rows.items() if sources is None or source in sources])
    ngram = KneserNey(vocabulary).fit(text)
    return lambda tokens: ngram.log2_probs(tokens)[1:]


def _documents(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def _together(books: list[dict[str, float]], scorers: dict[str, Scorer]) -> dict[str, float]:
    size = sum(book["bytes"] for book in books)
    total = {name: sum(book[name] * book["bytes"] for book in books) / size for name in scorers}
    return {"books": len(books), "bytes": size, **{name: round(value, 4) for name, value in total.items()}}


def _machine() -> dict[str, str]:
    import torch
    import transformers

    return {"torch": torch.__version__, "transformers": transformers.__version__, "processor": platform.machine()}


if __name__ == "__main__":
    main()
