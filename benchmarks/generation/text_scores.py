"""Do the intervals and tests of text scores keep their word on real text, and does the slot error rate find errors?

- **Coverage**: a system that answers with the completion of the nearest training prompt (TF-IDF) is scored on all test
  rows; that is the truth. Then on draws of 20 to 200 of them: how often does the interval at 95 % hold it?
- **False alarms and power**: two systems know one half of the training rows each, and each prompt's answers change
  places by a coin, so neither is better and whatever is told apart is chance; a third knows a twentieth and is worse.
  Rows by themselves, and rows of one prompt together.
- **Slot errors**: values cut, doubled and exchanged in references of rnnlg_restaurant, and references as they are.
- **Time**: all scores of 1,000 rows with 2,000 draws.

    python benchmarks/generation/text_scores.py [DATA] [--trials 200] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from cells import DATA, HERE, rows_of, skip_without

from fewtune.metrics import Answers, compare_all, compare_texts, score_all
from fewtune.metrics.corpus import RowStatistics
from fewtune.metrics.representation import parse
from fewtune.metrics.resampling import Resampling, corpus_intervals
from fewtune.metrics.slots import SlotCounter, sayable
from fewtune.report.result import hardware, versions

SETS = {"rnnlg_restaurant": "test", "nl2bash": "test", "gsm8k": "test"}
SCORES = ["bleu", "chrf", "rouge_l", "exact_match", "token_f1", "slot_error"]
FAST = {"draws": 500, "swaps": 500}


def nearest(training: list[dict[str, str]], test: list[dict[str, str]]) -> list[str]:
    """The completion of the training prompt most like each test prompt."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=1)
    known = vectors.fit_transform([row["prompt"] for row in training])
    asked = vectors.transform([row["prompt"] for row in test])
    return [training[int(place)]["completion"] for place in np.asarray((asked @ known.T).argmax(axis=1)).ravel()]


def answers_of(outputs: list[str], test: list[dict[str, str]]) -> Answers:
    """As rows: one reference each."""
    return Answers.of(outputs, [row["completion"] for row in test], prompts=[row["prompt"] for row in test])


def some(score: RowStatistics, rows: np.ndarray) -> RowStatistics:
    """The score of some rows."""
    kept = score.stats_NF[rows]
    return RowStatistics(score.name, kept, score.combine, score.higher_is_better, score.bounds, score.extremes)


def coverage(training: list[dict[str, str]], test: list[dict[str, str]], trials: int) -> list[dict[str, object]]:
    """How often intervals from a few rows hold the score of all of them."""
    found = score_all(answers_of(nearest(training, test), test), scores=SCORES, draws=10).statistics
    rng, lines = np.random.default_rng(0), []
    for rows in (20, 50, 100, 200):
        held = dict.fromkeys(found, 0)
        width = dict.fromkeys(found, 0.0)
        for trial in range(trials):
            # With replacement: the test rows stand for a population.
            picked = rng.integers(0, len(test), rows)
            drawn = [some(score, picked) for score in found.values()]
            for name, interval in corpus_intervals(drawn, Resampling.of(rows, draws=500, seed=trial)).items():
                held[name] += interval.low <= found[name].value() <= interval.high
                width[name] += interval.width
        lines += [
            {"rows": rows, "score": n, "truth": found[n].value(), "held": held[n] / trials, "width": width[n] / trials}
            for n in found
        ]
    return lines


def alarms(training: list[dict[str, str]], test: list[dict[str, str]], trials: int) -> list[dict[str, object]]:
    """How often equal systems are told apart, and unequal ones; rows alone, and rows of one prompt together."""
    rng = np.random.default_rng(0)
    shuffled = [training[row] for row in rng.permutation(len(training))]
    half = len(shuffled) // 2
    known = [shuffled[:half], shuffled[half:], shuffled[: max(5, half // 10)]]
    first, second, poor = (score_all(answers_of(nearest(part, test), test), scores=SCORES, draws=10) for part in known)
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(row["prompt"] for row in test))}
    prompt_N, lines = np.array([numbers[row["prompt"]] for row in test]), []
    for rows in (30, 100):
        for together in (False, True):
            told = {name: {"equal": 0, "better": 0, "worse": 0} for name in first.statistics}
            for trial in range(trials):
                picked = rng.choice(len(test), rows, replace=False)
                groups = prompt_N[picked] if together else None
                # Each prompt's two answers change places by a coin: now neither system is the better one.
                swap_N = (rng.random(len(numbers)) < 0.5)[prompt_N[picked]]
                for name, mine in first.statistics.items():
                    a, b = some(mine, picked), some(second.statistics[name], picked)
                    pair = exchanged(a, b, swap_N)
                    told[name]["equal"] += verdict(*pair, groups, trial) != "cannot be told apart"
                    found = verdict(a, some(poor.statistics[name], picked), groups, trial)
                    told[name]["better"] += found == "better"
                    told[name]["worse"] += found == "worse"
            lines += [
                {
                    "rows": rows,
                    "prompts_together": together,
                    "score": name,
                    "equal_told_apart": counts["equal"] / trials,
                    "poorer_told": counts["better"] / trials,
                    "poorer_told_wrongly": counts["worse"] / trials,
                }
                for name, counts in told.items()
            ]
    return lines


def exchanged(a: RowStatistics, b: RowStatistics, swap_N: np.ndarray) -> tuple[RowStatistics, RowStatistics]:
    """Both, after the marked rows changed places."""
    mine_NF = np.where(swap_N[:, None], b.stats_NF, a.stats_NF)
    return replace(a, stats_NF=mine_NF), replace(b, stats_NF=a.stats_NF + b.stats_NF - mine_NF)


def verdict(a: RowStatistics, b: RowStatistics, groups: np.ndarray | None, seed: int) -> str:
    """Of the first."""
    return compare_texts(a, b, groups=groups, seed=seed, **FAST).verdict


def slot_errors(folder: Path) -> dict[str, object]:
    """Planted errors found, and what is said of references as they are."""
    rng, found = random.Random(0), {"cut": [0, 0], "doubled": [0, 0], "exchanged": [0, 0]}
    training = rows_of(folder, "train")
    counter = SlotCounter.of(
        [parse(row["prompt"]) or () for row in training], [[row["completion"]] for row in training]
    )
    clean, slots_seen, errors = 0, 0, 0
    values = sorted({" ".join(words) for words in counter.known})
    for row in rows_of(folder, "test"):
        slots = parse(row["prompt"]) or ()
        before = counter.count(slots, row["completion"])
        clean, slots_seen, errors = clean + (not before.errors), slots_seen + before.slots, errors + before.errors
        said = [slot.wordings[0] for slot in slots if sayable(slot) and slot.wordings[0] in row["completion"]]
        if before.errors or not said:
            continue
        value = rng.choice(said)
        other = rng.choice([one for one in values if one not in row["completion"]])
        spoiled = {
            "cut": (row["completion"].replace(value, ""), "missing"),
            "doubled": (f"{row['completion']} {value}", "repeated"),
            "exchanged": (row["completion"].replace(value, other), "added"),
        }
        for kind, (text, part) in spoiled.items():
            found[kind][0] += bool(getattr(counter.count(slots, text), part))
            found[kind][1] += 1
    return {
        "references": {"rows": len(rows_of(folder, "test")), "without_error": clean, "rate": errors / slots_seen},
        "planted": {kind: {"found": hits, "of": tried} for kind, (hits, tried) in found.items()},
    }


def seconds(training: list[dict[str, str]], test: list[dict[str, str]]) -> dict[str, float]:
    """Of scoring and of comparing 1,000 rows."""
    asked = test[:1000]
    answers = [answers_of(nearest(part, asked), asked) for part in (training, training[::2])]
    score_all(answers[0], draws=10)  # libraries are loaded once
    start = time.perf_counter()
    scored = [score_all(one) for one in answers]
    middle = time.perf_counter()
    compare_all(*scored)
    return {"rows": len(asked), "score": (middle - start) / 2, "compare": time.perf_counter() - middle}


def main() -> int:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--out", type=Path, default=HERE / "text_scores.json")
    given = parser.parse_args()
    skip_without(given.data)
    told: dict[str, object] = {"versions": versions(), "hardware": hardware(), "trials": given.trials}
    for name, part in SETS.items():
        training, test = rows_of(given.data / name, "train"), rows_of(given.data / name, part)
        told[name] = {"coverage": coverage(training, test, given.trials)}
        print(name, "coverage done", flush=True)
        told[name]["alarms"] = alarms(training, test, given.trials)
        print(name, "alarms done", flush=True)
        if name == "rnnlg_restaurant":
            told[name] |= {"slot_errors": slot_errors(given.data / name), "seconds": seconds(training, test)}
    given.out.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
