"""Preference tuning on real rows: at which rate, and what it buys and costs after a first stage.

    python benchmarks/generation/preferences.py [GENERATION_SETS]

The starter is tuned by LoRA on 200 rows of `rnnlg_restaurant`. Then each method learns from 60 pairs of other rows: one
prompt, its own sentence, and the sentence of another prompt with the same slots, so that what is preferred is to say
what was asked. It is looked at on 100 pairs of still other rows. A cell is kept as it is finished.
"""

from __future__ import annotations

import re
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from cells import (
    DATA,
    RESULTS,
    SET,
    Cells,
    drawn,
    fingerprint_of_starter,
    fitted_on,
    machine,
    material_of,
    now,
    rows_of,
    skip_without,
)

from fewtune.data.base import Example

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.methods.base import Material

RATES = (1e-3, 3e-4, 3e-3)
FIRST, PAIRS, HELD, EPOCHS = 200, 60, 100, 2.0
SLOT = re.compile(r"(\w+)=")


def restaurant_pairs(rows: list[dict[str, str]], seed: int = 0) -> list[Example]:
    """Pairs whose rejected answer is right for another prompt of the same slots."""
    rows = list({row["prompt"]: row for row in rows}.values())
    alike: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        alike[tuple(sorted(SLOT.findall(row["prompt"])))].append(row)
    rng, found = np.random.default_rng(seed), list[Example]()
    for row in (rows[place] for place in rng.permutation(len(rows))):
        slots = tuple(sorted(SLOT.findall(row["prompt"])))
        others = [one for one in alike[slots] if one["completion"] != row["completion"]]
        if others:
            other, number = others[int(rng.integers(len(others)))]["completion"], len(found) + 1
            example = Example(row["prompt"], id=str(number), row=number, completion=row["completion"])
            found.append(replace(example, rejected=other))
    return found


def first_stage(rows: list[dict[str, str]], folder: Path) -> LanguageModel:
    """The starter, tuned on some rows and opened again."""
    from fewtune.backbones.language.load import load_language_model
    from fewtune.methods.generation.lora import LoRAWriter
    from fewtune.recipe import Recipe
    from fewtune.writer_folder import WritingModel, save_writer

    starter = load_language_model(precision="float32")
    method = LoRAWriter(epochs=4.0)
    fitted = fitted_on(method, material_of(rows, starter, seed=0))
    save_writer(WritingModel(fitted, Recipe(method, template=starter.settle())), folder)
    return load_language_model(folder, precision="float32")


def learned_from(pairs: list[Example], model: LanguageModel) -> Material:
    """What a preference method learns from."""
    from fewtune.methods.base import Material

    labels, texts = np.zeros(len(pairs), dtype=np.int64), [one.prompt for one in pairs]
    found = Material(texts, labels, (), None, seed=0, examples=pairs, language_model=model)
    return replace(found, template=model.settle())


def measured(writer: Any, first: Any, held: list[Example]) -> dict[str, float]:
    """Accuracy, reward accuracy, margin gained and the cost of the chosen answers, on held-out pairs."""
    from fewtune.metrics.preference import found_better, margins, moved_right
    from fewtune.tune.run import rejected_by

    sides = [(one.costs(held), rejected_by(one, held)) for one in (writer, first)]
    after, before = (margins(*both) for both in sides)
    chosen = sides[0][0]
    return {
        "accuracy": float(found_better(*sides[0]).mean()),
        "reward_accuracy": float(moved_right(after, before).mean()),
        "margin": float((after - before).mean()),
        "bits_per_byte": float(chosen.nll.sum() / np.log(2) / chosen.bytes.sum()),
    }


def run(folder: Path) -> None:
    """Every method at every rate."""
    from fewtune.methods.preference.dpo import DPO
    from fewtune.methods.preference.first_stage import FirstStage
    from fewtune.methods.preference.kto import KTO
    from fewtune.methods.preference.orpo import ORPO

    about = {"starter": fingerprint_of_starter(), "first": FIRST, "pairs": PAIRS, "held": HELD, "epochs": EPOCHS}
    kept = Cells(RESULTS / "preferences.json", about | machine())
    rows = rows_of(folder / SET, "train")
    learned = drawn(rows, FIRST, 0)
    known = {row["prompt"] for row in learned}
    pairs = restaurant_pairs([row for row in rows if row["prompt"] not in known])
    with TemporaryDirectory() as place:
        model = first_stage(learned, Path(place) / "first")
        material, held = learned_from(pairs[:PAIRS], model), pairs[PAIRS : PAIRS + HELD]
        first = fitted_on(FirstStage(), material)
        methods = [cls(rate=rate, epochs=EPOCHS) for rate in RATES for cls in (DPO, ORPO, KTO)]
        for method in (FirstStage(), *methods):
            key = f"{method.name}/{getattr(method, 'rate', '-')}"
            if key in kept:
                continue
            started = time.perf_counter()
            fitted = fitted_on(method, material)
            told = measured(fitted, first, held)
            kept.keep(key, {**told, "seconds": round(time.perf_counter() - started, 1), **now()})
            print(key, {what: round(value, 3) for what, value in told.items()}, flush=True)


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    skip_without(given)
    run(given)
