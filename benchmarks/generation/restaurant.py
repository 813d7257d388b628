"""What tuning buys over prompting on 200 rows of rnnlg_restaurant, and whether cross-validation finds the right length.

For each draw of training rows:
- the starter asked without examples and with them, scored on test rows;
- LoRA's ladder as `fewtune fit --methods lora` climbs it: lengths, with copied phrases exchanged in training and
  without, each judged by cross-validation, one chosen. No test row is in it;
- in hindsight: every setting the ladder tried, and one length more beyond, trained on all rows and scored on the test
  rows.

Bars: the chosen length's BLEU at least 25 points above the better prompt's; its slot error under half of few-shot's;
its BLEU within 0.5 of the best length's in hindsight.

    python benchmarks/generation/restaurant.py [DATA] [--rows 200] [--draws 0 1 2] [--prompts 200] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from cells import (
    DATA,
    RESULTS,
    SET,
    Cells,
    Judge,
    drawn,
    examples_of,
    fingerprint_of_starter,
    fitted_on,
    machine,
    material_of,
    now,
    rows_of,
    say,
    skip_without,
)

FOLDS = 3
BLEU_OVER_PROMPTS, BLEU_BELOW_BEST = 25.0, 0.5


def lengths(rows: list[dict[str, str]], draw: int, folder: Path) -> dict[str, Any]:
    """Epochs by cross-validated bits per byte, and those chosen, as a fit does it."""
    from fewtune.data.base import Dataset
    from fewtune.fitting import laid_out, rungs_to_write
    from fewtune.study.ladder import climb
    from fewtune.study.progress import Progress
    from fewtune.study.settings import Settings

    dataset = Dataset(tuple(examples_of(rows)), task="generation")
    settings = Settings(methods=("lora",), folds=FOLDS, repeats=1, seed=draw, out=folder, task="generation")
    with laid_out(dataset, settings, progress=Progress(), writes=True) as (evaluator, _):
        climbed = climb(evaluator, rungs_to_write(settings, evaluator.context))
    tried = [rung for rung in climbed.rungs if rung.recipe.method.name == "lora"]
    winner: Any = climbed.rungs[climbed.winner].recipe.method
    return {
        "bits_per_byte": {setting(rung.recipe.method): round(-rung.score, 5) for rung in tried if rung.score},
        "winner": winner.name,
        "chosen": setting(winner) if winner.name == "lora" else None,
        "prompts": {
            rung.recipe.method.name: round(-rung.score, 5)
            for rung in climbed.rungs
            if rung.score is not None and rung.recipe.method.name != "lora"
        },
    }


def setting(method: Any) -> str:
    """A setting of LoRA as a cell is called by it: epochs, and whether phrases are exchanged."""
    return f"{method.epochs:g}{' exchanged' if method.exchange else ''}"


def method_of(setting: str) -> Any:
    """The method of such a name."""
    from fewtune.methods.generation.lora import LoRAWriter
    from fewtune.study.epochs import EXCHANGED

    epochs, *exchanged = setting.split()
    return LoRAWriter(epochs=float(epochs), exchange=EXCHANGED if exchanged else 0.0, spare=0.0)


def one_more(tried: list[str], chosen: str | None) -> str:
    """Twice the longest length tried of the kind that was chosen."""
    kind = " exchanged" if chosen is not None and chosen.endswith("exchanged") else ""
    longest = max(float(one.split()[0]) for one in tried if one.endswith("exchanged") == bool(kind))
    return f"{2 * longest:g}{kind}"


def draw_of(cells: Cells, options: argparse.Namespace, draw: int) -> None:
    """All cells of a draw that are not there yet."""
    from fewtune.backbones.language.load import load_language_model
    from fewtune.methods.generation.few_shot import FewShotPrompt
    from fewtune.methods.generation.zero_shot import ZeroShotPrompt

    folder = options.data / SET
    rows = drawn(rows_of(folder, "train"), options.rows, draw)
    judge = Judge(rows_of(folder, "test"), rows_of(folder, "train"), prompts=options.prompts)
    model = load_language_model(precision="float32")

    def scored(key: str, method: Any) -> None:
        if key in cells:
            return
        begun, started, cpu = now(), time.perf_counter(), time.process_time()
        found = judge.scores(fitted_on(method, material_of(rows, model, seed=draw)))
        spent = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - cpu}
        cells.keep(key, begun | {name: round(value, 2) for name, value in spent.items()} | found)
        say(f"{key}: BLEU {found['bleu']['mean']:.1f}, slot errors {found['slot_error']['mean']:.3f}")

    scored(f"{draw} zero_shot", ZeroShotPrompt())
    scored(f"{draw} few_shot", FewShotPrompt())
    if f"{draw} lengths" not in cells:
        begun, started, cpu = now(), time.perf_counter(), time.process_time()
        found = lengths(rows, draw, options.work / f"{options.rows}-{draw}")
        spent = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - cpu}
        cells.keep(f"{draw} lengths", begun | found | {name: round(value, 2) for name, value in spent.items()})
    found = cells[f"{draw} lengths"]
    say(f"{draw} lengths: {found['bits_per_byte']}, chosen {found['chosen']}")
    tried = list(found["bits_per_byte"])
    for one in (*tried, one_more(tried, found["chosen"])):
        scored(f"{draw} lora {one}", method_of(one))


def verdict(cells: Cells, draws: list[int]) -> dict[str, Any]:
    """The bars, draw by draw and on the mean."""
    lines: list[dict[str, Any]] = []
    for draw in draws:
        of = {key.split(" ", 1)[1]: cell for key, cell in cells.plain["cells"].items() if key.startswith(f"{draw} ")}
        tuned = {key.removeprefix("lora "): cell for key, cell in of.items() if key.startswith("lora ")}
        found = of.get("lengths", {})
        # Where a prompt was found to be as good, it is what is held against the bars: a loss like any other.
        winner = tuned.get(found.get("chosen")) or of.get(found.get("winner"))
        if winner is None or not tuned:
            continue
        bleu = {one: cell["bleu"]["mean"] for one, cell in tuned.items()}
        prompts = [of[name]["bleu"]["mean"] for name in ("zero_shot", "few_shot")]
        best = max(bleu, key=lambda one: bleu[one])
        lines.append(
            {
                "draw": draw,
                "bleu_zero_shot": prompts[0],
                "bleu_few_shot": prompts[1],
                "bleu_tuned": winner["bleu"]["mean"],
                "gain": winner["bleu"]["mean"] - max(prompts),
                "slot_error_few_shot": of["few_shot"]["slot_error"]["mean"],
                "slot_error_tuned": winner["slot_error"]["mean"],
                "chosen": found.get("chosen") or found.get("winner"),
                "best": best,
                "bleu_below_best": bleu[best] - winner["bleu"]["mean"],
            }
        )
    if not lines:
        return {"draws": []}
    numbers = [name for name in lines[0] if name not in ("draw", "chosen", "best")]
    mean = {name: float(np.mean([line[name] for line in lines])) for name in numbers}
    held = {
        "gain": mean["gain"] >= BLEU_OVER_PROMPTS,
        "slot_error": mean["slot_error_tuned"] < mean["slot_error_few_shot"] / 2,
        "epochs": mean["bleu_below_best"] <= BLEU_BELOW_BEST,
    }
    return {"draws": lines, "mean": mean, "held": held}


def main() -> int:
    """Compute what is not there yet, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--prompts", type=int, default=200, help="different prompts of the test part")
    parser.add_argument("--work", type=Path, default=Path("runs/restaurant"), help="finished runs of the ladders")
    parser.add_argument("--out", type=Path, default=RESULTS / "restaurant.json")
    options = parser.parse_args()
    skip_without(options.data / SET)
    about = {"set": SET, "rows": options.rows, "prompts": options.prompts, "folds": FOLDS}
    cells = Cells(options.out, about | {"starter": fingerprint_of_starter()})
    for draw in options.draws:
        draw_of(cells, options, draw)
        cells.write(machine=machine(), verdict=verdict(cells, options.draws))
    print(json.dumps(cells.plain["verdict"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
