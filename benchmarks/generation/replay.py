"""What replay saves: the same tunings with and without a share of other text among the rows.

Each draw takes 200 rows of rnnlg_restaurant and tunes the starter on them without replay, with 5 % of the sentences
that come with fewtune, and with 5 % and 20 % of passages of speeches, stories and talk; one recipe (LoRA at its
defaults), one seed a draw, the same rows. Forgetting is bits per byte after less before, on sixty sentences that come
with fewtune and on some 200 passages that are never replayed: they come from the second half of each file, what is
replayed from the first.

Two intervals are given of what replay saves: over texts (paired bootstrap, costs averaged over draws), which says how
far other texts would agree, and over draws (t), which says how far other rows and seeds would. "Less" is said only
where both leave zero out. The starter learnt from the same files, and not for long: replay can leave it better than it
was.

    python benchmarks/generation/replay.py [--data FOLDER] [--corpus FOLDER] [--draws 5] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import lzma
import time
from pathlib import Path
from typing import Any

import numpy as np
from cells import (
    DATA,
    HERE,
    SET,
    Cells,
    drawn,
    examples_of,
    fingerprint_of_starter,
    machine,
    rows_of,
    say,
    skip_without,
)

FILES = ("us_speeches", "stories_ccby", "masc")
ROWS, TEST_ROWS, PASSAGES = 200, 300, 400
LEAST, MOST = 80, 240
"""Characters of a passage."""
ARMS = {
    "without": (None, 0.0),
    "sentences 5 %": ("sentences", 0.05),
    "passages 5 %": ("passages", 0.05),
    "passages 20 %": ("passages", 0.2),
}


def passages(corpus: Path, *, second_half: bool, count: int) -> list[str]:
    """Paragraphs of about a sentence or two from one half of each file, evenly spread."""
    found = []
    for name in FILES:
        with lzma.open(corpus / f"{name}.txt.xz", "rt", encoding="utf-8") as file:
            text = file.read()
        middle = len(text) // 2
        # A paragraph that crosses the middle is in neither half.
        half = text[middle:].partition("\n\n")[2] if second_half else text[:middle].rpartition("\n\n")[0]
        kept = [" ".join(one.split()) for one in half.split("\n\n")]
        kept = [one for one in dict.fromkeys(kept) if LEAST <= len(one) <= MOST]
        wanted = count // len(FILES)
        found += kept[:: max(1, len(kept) // wanted)][:wanted]
    return found


def one_draw(draw: int, data: Path, texts: dict[str, list[str]], model: Any, kept: Cells) -> dict[str, Any]:
    """Every arm on the rows of a draw: costs on each set of texts, and on the task's own test rows."""
    from fewtune.data.base import Dataset, Example
    from fewtune.data.general import general_text, replay_text
    from fewtune.data.mixing import Mix, Replayed
    from fewtune.methods.generation.lora import LoRAWriter
    from fewtune.recipe import Recipe
    from fewtune.tune.run import Context, Run, fit

    rows = Dataset(tuple(examples_of(drawn(rows_of(data / SET, "train"), ROWS, draw))), task="generation")
    test = examples_of(drawn(rows_of(data / SET, "test"), TEST_ROWS, draw))
    sets = {
        "general text": list(general_text()),
        "passages": [Example(text) for text in texts["measured"]],
        "task": test,
    }
    pools = {
        "sentences": Replayed("sentences", replay_text().examples),
        "passages": Replayed("passages", tuple(Example(text) for text in texts["replayed"])),
    }
    recipe = Recipe(LoRAWriter(), template=model.settle())
    found: dict[str, Any] = {}
    for arm, (pool, share) in ARMS.items():
        key = f"{draw} {arm}"
        if key in kept:
            found[arm] = opened(kept[key])
            continue
        mix = None if pool is None else Mix(replayed=(pools[pool],), share=share)
        if mix is not None:
            mix = mix.without([*sets["general text"], *sets["passages"], *test])
        context = Context(rows, {}, None, language_models={"default": model}, mix=mix)
        everything = np.arange(len(rows), dtype=np.int64)
        started = time.perf_counter()
        fitted = fit(Run(recipe, everything, everything[:0], draw), context)
        seconds = time.perf_counter() - started
        costs = {name: fitted.costs(examples) for name, examples in sets.items()}  # type: ignore[attr-defined]
        lists = {name: [list(map(float, part)) for part in (c.nll, c.tokens, c.bytes)] for name, c in costs.items()}
        kept.keep(key, {"costs": lists, "seconds": round(seconds, 1), "steps": len(fitted.log.steps)})  # type: ignore[union-attr]
        found[arm] = opened(kept[key])
        say(f"draw {draw}, {arm}: {seconds:.0f} s, {found[arm]['steps']} steps")
    return found


def opened(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell with its costs as fewtune has them."""
    from fewtune.methods.base import Written

    costs = {}
    for name, (nll, tokens, size) in cell["costs"].items():
        costs[name] = Written(np.array(nll), np.array(tokens, dtype=np.int64), np.array(size, dtype=np.int64))
    return {**cell, "costs": costs}


def likelihoods(costs: list[Any]) -> Any:
    """What each text cost, averaged over draws."""
    from fewtune.metrics.likelihood import Likelihoods

    nll = np.mean([one.nll for one in costs], axis=0)
    return Likelihoods.of(nll, costs[0].tokens, bytes_N=costs[0].bytes)


def bits(cost: Any) -> float:
    """Bits per byte of a set."""
    return float(cost.nll.sum() / (np.log(2) * cost.bytes.sum()))


def over_draws(values: list[float]) -> dict[str, float]:
    """Mean and t-interval over draws."""
    from scipy import stats

    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def compared(name: str, before: Any, draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Forgetting of each arm on one set of texts, and how much less it is than without replay."""
    from fewtune.metrics.forgetting import compare_forgetting, measure_forgetting

    start = likelihoods([before])
    found: dict[str, Any] = {}
    for arm in ARMS:
        after = [one[arm]["costs"][name] for one in draws]
        plain = [one["without"]["costs"][name] for one in draws]
        forgot = measure_forgetting(start, likelihoods(after), name=name).to_json()
        found[arm] = {
            "before": forgot["before"]["mean"],
            "after": forgot["after"]["mean"],
            "forgotten_over_texts": {key: forgot["difference"][key] for key in ("mean", "low", "high")},
            "forgotten_each_draw": [round(bits(cost) - bits(before), 5) for cost in after],
            "forgotten_over_draws": over_draws([bits(cost) - bits(before) for cost in after]),
        }
        if arm == "without":
            continue
        by_text = compare_forgetting(start, likelihoods(after), likelihoods(plain))
        saved = [bits(without) - bits(replayed) for without, replayed in zip(plain, after, strict=True)]
        found[arm]["less_than_without"] = {
            "over_texts": {"mean": by_text.difference, "low": by_text.low, "high": by_text.high, "p": by_text.p},
            "over_draws": over_draws(saved),
            "each_draw": [round(value, 5) for value in saved],
            "less": bool(by_text.low > 0 and over_draws(saved)["low"] > 0),
        }
    return found


def main() -> None:
    """Run every draw and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--corpus", type=Path, default=DATA.parent / "corpus")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "replay.json")
    given = parser.parse_args()
    skip_without(given.data / SET)
    skip_without(given.corpus)

    from fewtune.backbones.language.load import load_language_model
    from fewtune.data.base import Example
    from fewtune.data.general import general_text
    from fewtune.methods.generation.base import ModelWriter

    started = time.perf_counter()
    about = machine() | {"starter": fingerprint_of_starter()}
    texts = {
        "replayed": passages(given.corpus, second_half=False, count=600),
        "measured": passages(given.corpus, second_half=True, count=PASSAGES),
    }
    model = load_language_model(precision="float32")
    untuned = ModelWriter(model, model.settle())
    before = {
        "general text": untuned.costs(list(general_text())),
        "passages": untuned.costs([Example(text) for text in texts["measured"]]),
    }
    # Costs of every text stand in a file beside the result while the runs go on, so that none is done twice.
    kept = Cells(given.out.with_suffix(".cells"), {"starter": about["starter"], "rows": ROWS})
    draws = [one_draw(draw, given.data, texts, model, kept) for draw in range(given.draws)]
    result = {
        "what": "forgetting in bits per byte, after less before; positive is forgotten",
        "rows": ROWS,
        "draws": given.draws,
        "recipe": "LoRA at its defaults",
        "texts": {"general text": 60, "passages": len(texts["measured"]), "replayed passages": len(texts["replayed"])},
        "forgetting": {name: compared(name, cost, draws) for name, cost in before.items()},
        "task": {
            arm: over_draws([bits(one[arm]["costs"]["task"]) for one in draws]) | {"seconds": draws[0][arm]["seconds"]}
            for arm in ARMS
        },
        "seconds": round(time.perf_counter() - started, 1),
        **about,
    }
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(
        json.dumps(
            {name: {a: v.get("less_than_without") for a, v in s.items()} for name, s in result["forgetting"].items()}
        )
    )


if __name__ == "__main__":
    main()
