"""Write MODEL_CARD.md from what was measured: evaluation.json, log.jsonl, settings.json and the corpus's counts.

Called as `python starter/card.py [--build starter/build]`, after export.py and bits_per_byte.py.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import sentences
from blocks import REPEATS, Tokens
from pretrain import BUILD, ROOT, token_rows

WHAT = {
    "children": ("children's books", "public domain"),
    "general": ("other books and stories", "public domain"),
    "stories": ("children's stories", "CC BY"),
    "masc": ("MASC, American English of many kinds", "open, no restrictions"),
    "speeches": ("speeches of US presidents", "public domain"),
    "rust_book": ("The Rust Programming Language", "MIT or Apache-2.0"),
    "t0": ("T0 training rows, prompt and completion", "Apache-2.0"),
    "dolly": ("Dolly rows, prompt and completion", "CC BY-SA 3.0"),
    sentences.SOURCE: ("sentences of the books above, asked for by some of their words", "as the books"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the model card.")
    parser.add_argument("--build", type=Path, default=BUILD)
    given = parser.parse_args()
    evaluation, settings = _json(ROOT / "evaluation.json"), _json(ROOT / "settings.json")
    counts = _json(given.build / "corpus" / "counts.json")
    log = [json.loads(line) for line in (ROOT / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    text = render(evaluation, settings, counts, log, token_rows(given.build, "train"), _parameters())
    (ROOT / "MODEL_CARD.md").write_text(text, encoding="utf-8")


def render(
    evaluation: dict[str, Any],
    settings: dict[str, Any],
    counts: dict[str, Any],
    log: list[dict[str, Any]],
    rows: dict[str, Tokens],
    parameters: int,
) -> str:
    """The card's text."""
    import jinja2

    last = log[-1]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)  # plain text
    return environment.from_string((ROOT / "card.md.jinja").read_text(encoding="utf-8")).render(
        parameters=parameters,
        minutes=round(last["cpu_seconds"] / 60),
        wall_minutes=round(last["seconds"] / 60),
        tokens=last["tokens"],
        passes=last["tokens"] / sum(len(tokens) for source, tokens in rows.items() if source != sentences.SOURCE),
        rows=_scores(evaluation),
        completions=evaluation["completions"],
        most_bytes=evaluation["most_bytes_of_a_book"],
        under=evaluation["held_out_books"]["starter_under_best_ngram"],
        curve=[line for line in log if "validation_loss" in line][:: max(1, len(log) // 120)],
        samples=evaluation["samples"],
        answers=evaluation["answers"],
        sources=[_source(source, settings, counts) for source in WHAT],
        repeats=_shares(settings, REPEATS),
        held_out=counts["held_out_books"],
        model=settings["model"],
        settings=settings,
        decay_from=max((line["step"] for line in log if line["stage"] == "stable"), default=last["step"]),
        steps=last["step"],
    )


def _scores(evaluation: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("**held-out children's books**", evaluation["held_out_books"]),
        *((title, row) for title, row in evaluation["books"].items()),
        ("a short text of our own", evaluation["own_text"]),
    ]


def _source(source: str, settings: dict[str, Any], counts: dict[str, Any]) -> dict[str, Any]:
    what, licence = WHAT[source]
    return {"what": what, "licence": licence, **counts["train"][source], **_shares(settings, source)}


def _shares(settings: dict[str, Any], source: str) -> dict[str, float]:
    """The source's part of a step in the stable stage and in the decay."""
    mixes = {stage: settings["stages"][stage]["mix"] for stage in ("stable", "decay")}
    return {stage: mix.get(source, 0.0) / sum(mix.values()) for stage, mix in mixes.items()}


def _parameters() -> int:
    from safetensors import safe_open

    with safe_open(ROOT / "fewtune_starter" / "model" / "model.safetensors", framework="np") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in tuple(file.keys()))


def _json(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    main()
