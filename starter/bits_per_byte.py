"""Bits per byte of the starter beside a modified-Kneser-Ney 5-gram's, on the same held-out text, over the same tokens.

    python starter/bits_per_byte.py [--build starter/build] [--book-bytes 60000] [--ngram-only]

Written: evaluation.json, with each held-out book, the completions of held-out rows after their prompts, a short text of
our own (own_text.txt, which the tests score again), and what the starter writes greedily after a few openings.
The 5-gram learns from all text the corpus holds for training; a second one from the children's books alone, in case
that serves it better.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import sentences
from corpus import SOURCES
from ngram import ORDER, KneserNey
from pretrain import BUILD, ROOT, token_rows
from scoring import STRIDE, log2_probs
from tokenizer import ASSISTANT, BOS, END, USER, render

MODEL = ROOT / "fewtune_starter" / "model"
NGRAMS: dict[str, set[str]] = {"ngram": {name for name, _ in SOURCES.values()}, "ngram_children_only": {"children"}}
"""The sources each 5-gram learns from: all that were read, without the rows made of sentences they hold already."""
ROWS_OF = ("t0", "dolly", sentences.SOURCE)
ROWS = 150
"""Held-out rows scored of each source that has rows."""
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


@dataclass(frozen=True)
class Text:
    """One text to be scored."""

    group: str
    name: str
    tokens: Sequence[int]
    scored: int
    """How many of its last tokens count: all but the first, or a completion with its end."""
    bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the starter beside a 5-gram.")
    parser.add_argument("--build", type=Path, default=BUILD)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--out", type=Path, default=ROOT / "evaluation.json")
    parser.add_argument("--ngram-only", action="store_true", help="score by the 5-grams and keep that for later")
    parser.add_argument(
        "--book-bytes", type=int, help="score no more than the beginning of each book, for a busy machine"
    )
    given = parser.parse_args()
    tokenizer = _tokenizer(given.build / "model")
    texts = held_out_texts(given.build / "corpus" / "test.jsonl", tokenizer, given.book_bytes)
    began = time.monotonic()
    bits = {
        name: _kept(given.build, name, lambda sources=sources: _ngram(given.build, len(tokenizer), sources), texts)
        for name, sources in NGRAMS.items()
    }
    if given.ngram_only:
        return
    model = _model(given.model)
    bits = {"starter": score(texts, lambda tokens: log2_probs(model, tokens)), **bits}
    result = {
        "measure": "bits per byte, the end of a text counted, over the same tokens for every model",
        "ngram": {"order": ORDER, "smoothing": "modified Kneser-Ney, interpolated (Chen & Goodman 1998)"},
        "starter": {"context": 512, "stride": STRIDE, "arithmetic": "bf16"},
        "most_bytes_of_a_book": given.book_bytes,
        **tables(texts, bits),
        "samples": {opening: generate(model, tokenizer, BOS + opening) for opening in OPENINGS},
        "answers": {p: generate(model, tokenizer, f"{BOS}{USER}{p}{END}{ASSISTANT}") for p in PROMPTS},
        "machine": {"torch": torch.__version__, "processor": platform.machine(), "threads": torch.get_num_threads()},
        "seconds": round(time.monotonic() - began, 1),
    }
    given.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(result["held_out_books"], indent=1))


def held_out_texts(file: Path, tokenizer: Any, book_bytes: int | None = None) -> list[Text]:
    """The held-out books or their beginnings, the first ROWS held-out rows of each source, our own text."""
    documents = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
    rows = [[d for d in documents if d["source"] == source][:ROWS] for source in ROWS_OF]
    own = (ROOT / "own_text.txt").read_text(encoding="utf-8").strip()
    return [
        *(whole("books", d["title"], beginning(d["text"], book_bytes), tokenizer) for d in documents if "text" in d),
        *(completion(row, tokenizer) for of_source in rows for row in of_source),
        whole("own_text", "own_text", own, tokenizer),
    ]


def beginning(text: str, size: int | None) -> str:
    """The text's first paragraphs, as many as fit into so many bytes; all of it for None."""
    if size is None or len(text.encode()) <= size:
        return text
    return text.encode()[:size].decode(errors="ignore").rpartition("\n\n")[0]


def whole(group: str, name: str, text: str, tokenizer: Any) -> Text:
    tokens = tokenizer(render({"text": text}), add_special_tokens=False, verbose=False)["input_ids"]
    return Text(group, name, tokens, len(tokens) - 1, len(text.encode()))


def completion(row: dict[str, str], tokenizer: Any) -> Text:
    """A row's completion and its end, after its prompt in the chat template."""
    tokens = tokenizer(render(row), add_special_tokens=False, verbose=False)["input_ids"]
    scored = len(tokenizer(row["completion"] + END, add_special_tokens=False)["input_ids"])
    return Text(row["source"], row["source"], tokens, scored, len(row["completion"].encode()))


def score(texts: Sequence[Text], scorer: Scorer) -> list[float]:
    """The bits of each text."""
    return [float(-scorer(text.tokens)[-text.scored :].sum()) for text in texts]


def tables(texts: Sequence[Text], bits: dict[str, list[float]]) -> dict[str, Any]:
    """Bits per byte of the books together and one by one, of the completions by source, of our own text."""
    books = _rate(texts, bits, lambda text: text.group == "books")
    best = min(books[name] for name in bits if name != "starter")
    titles = [text.name for text in texts if text.group == "books"]
    return {
        "held_out_books": {
            "books": len(titles),
            **books,
            "starter_under_best_ngram": round(1 - books["starter"] / best, 4),
        },
        "books": {title: _rate(texts, bits, lambda text, title=title: text.name == title) for title in titles},
        "completions": {
            g: _rate(texts, bits, lambda text, g=g: text.group == g)
            for g in ROWS_OF
            if any(t.group == g for t in texts)
        },
        "own_text": _rate(texts, bits, lambda text: text.group == "own_text"),
    }


def _rate(texts: Sequence[Text], bits: dict[str, list[float]], wanted: Callable[[Text], bool]) -> dict[str, Any]:
    size = sum(text.bytes for text in texts if wanted(text))
    total = {n: sum(b for text, b in zip(texts, of, strict=True) if wanted(text)) for n, of in bits.items()}
    return {"bytes": size, **{name: round(value / size, 4) for name, value in total.items()}}


def generate(model: Any, tokenizer: Any, prompt: str, length: int = 60) -> str:
    """What the model writes greedily after a prompt."""
    inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        written = model.generate(**inputs, max_new_tokens=length, do_sample=False)[0]
    return str(tokenizer.decode(written[inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, local_files_only=True).eval()


def _ngram(build: Path, vocabulary: int, sources: set[str]) -> Scorer:
    rows = token_rows(build, "train")
    text = np.concatenate([tokens for source, tokens in rows.items() if source in sources])
    ngram = KneserNey(vocabulary).fit(text)
    return lambda tokens: ngram.log2_probs(tokens)[1:]


def _kept(build: Path, name: str, make: Callable[[], Scorer], texts: Sequence[Text]) -> list[float]:
    """The bits of each text under a 5-gram, which do not change with the starter: scored once for the same text."""
    digest = hashlib.sha256((build / "tokens-train.safetensors").read_bytes())
    for text in texts:
        digest.update(np.asarray(text.tokens, dtype=np.uint16).tobytes())
    file = build / f"bits-{name}-{digest.hexdigest()[:16]}.json"
    if not file.exists():
        file.write_text(json.dumps(score(texts, make())) + "\n", encoding="utf-8")
    bits: list[float] = json.loads(file.read_text(encoding="utf-8"))
    return bits


if __name__ == "__main__":
    main()
