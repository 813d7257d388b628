"""What is contrastive tuning worth over the probe, and how does that fade as labelled rows grow?

What the choice expects of a method before it has seen a row (`study/choice.py`) should hold on tasks that no default
was chosen on. Eight of these are made of the development data beside the few-shot sets: reviews, chats, dialogues,
notes, medical answers, shell commands. Rows learned from and rows judged on are apart; both methods learn the same
rows. Of the few-shot sets the other draws' rows are judged on, so that test rows play no part in what is expected.

    python benchmarks/fewshot/worth.py --data DIR [--tasks books shell] [--rows 8 16 32 64] [--draws 0 1]

A file a task, size and draw: what is finished is never run again, and several processes may share the tasks.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from cell import hardware, read_rows  # noqa: E402

Rows = list[tuple[str, str]]
BENCHMARK = ("sst2", "trec", "emotion", "sms_spam", "ag_news")
LEFT = 25
"""Rows of a class that must be left to judge on."""
MOST_CLASSES = 6
JUDGED = 400
"""Rows judged on, at most."""


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSON-lines file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def reviews(*kinds: str) -> Callable[[Path], Rows]:
    """Reviews by what they say; of two kinds, by their kind."""

    def read(data: Path) -> Rows:
        files = {kind: lines(data / "domains" / f"reviews_{kind}.jsonl") for kind in kinds}
        return [(row["text"], kind if len(kinds) > 1 else row["label"]) for kind in kinds for row in files[kind]]

    return read


def abuse(data: Path) -> Rows:
    """What a user says to a bot, by what most annotators call it; ties are left out."""
    rows: Rows = []
    for part in ("train", "test"):
        with (data / "annotators" / f"convabuse_{part}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                votes = Counter(
                    "not abusive" if key.endswith((".1", ".0")) else "abusive"
                    for key, value in row.items()
                    if "is_abuse" in key and value not in ("", "0", "0.0")
                )
                (label, most), *others = votes.most_common() or [("", 0)]
                if most and (not others or others[0][1] < most):
                    rows.append((row["user"], label))
    return rows


def fields(folder: str, text: str, label: str) -> Callable[[Path], Rows]:
    """Two fields of the records of a folder."""

    def read(data: Path) -> Rows:
        files = sorted((data / "generation" / folder).glob("*.jsonl"))
        return [(row[text], row[label]) for file in files for row in lines(file)]

    return read


def shell(data: Path) -> Rows:
    """What is asked of a shell, by the command that does it."""
    return [(text, command.split()[0]) for text, command in fields("nl2bash", "prompt", "completion")(data)]


OTHERS: dict[str, Callable[[Path], Rows]] = {
    "books": reviews("books"),
    "dvd": reviews("dvd"),
    "shop": reviews("books", "dvd"),
    "abuse": abuse,
    "dialogues": fields("mts_dialog", "prompt", "section"),
    "notes": fields("mts_dialog", "completion", "section"),
    "medical": fields("medquad", "completion", "source"),
    "shell": shell,
}


def split(pooled: Rows, size: int, draw: int) -> tuple[Rows, Rows]:
    """`size` rows of each class to learn from and others to judge on, as many of a class as there are of it."""
    unique = sorted({text: label for text, label in pooled if text.strip()}.items())
    counts = Counter(label for _, label in unique)
    classes = sorted(label for label, rows in counts.most_common(MOST_CLASSES) if rows >= size + LEFT)
    order = np.random.default_rng(draw).permutation(len(unique))
    mixed = [unique[place] for place in order if unique[place][1] in classes]
    learned: Rows = []
    for label in classes:
        learned += [row for row in mixed if row[1] == label][:size]
    known = set(learned)
    return learned, [row for row in mixed if row not in known][:JUDGED]


def of_benchmark(data: Path, name: str, size: int, draw: int) -> tuple[Rows, Rows]:
    """The first rows of each class of a draw, and rows of the other draws."""
    draws = [list(zip(*read_rows(data / name / f"64-{number}" / "train.csv"), strict=True)) for number in range(5)]
    taken: Counter[str] = Counter()
    learned: Rows = []
    for text, label in draws[draw]:
        if taken[label] < size:
            learned.append((text, label))
            taken[label] += 1
    known = {text for text, _ in draws[draw]}
    rest = sorted({row for number, rows in enumerate(draws) if number != draw for row in rows if row[0] not in known})
    return learned, [rest[place] for place in np.random.default_rng(draw).permutation(len(rest))][:JUDGED]


def accuracies(learned: Rows, judged: Rows, seed: int, methods: list[str]) -> dict[str, float]:
    """Of each method, learned on the one and judged on the other."""
    from fewtune.backbones.load import load_encoder
    from fewtune.data.base import Dataset, Example
    from fewtune.methods.registry import method_class
    from fewtune.recipe import Recipe
    from fewtune.tune.run import Context, Run, carry_out

    rows = [*learned, *judged]
    dataset = Dataset(tuple(Example(id=str(place), text=text, label=label) for place, (text, label) in enumerate(rows)))
    context = Context(dataset, {"default": load_encoder()})
    train, test = np.arange(len(learned)), np.arange(len(learned), len(rows))
    found = {}
    for name in methods:
        outcome = carry_out(Run(Recipe(method_class(name)()), train, test, seed), context)
        found[name] = float((outcome.probs.argmax(1) == context.labels[test]).mean())
    return found


def told(cells: list[dict[str, Any]], methods: list[str]) -> Iterator[str]:
    """A line a size: gains over the first method, by kind of task; the mean is of the tasks' means."""
    for size in sorted({cell["rows"] for cell in cells}):
        for kind in ("few-shot sets", "other tasks"):
            gains: dict[str, list[float]] = {}
            for cell in cells:
                if cell["rows"] == size and (cell["task"] in BENCHMARK) == (kind == "few-shot sets"):
                    gains.setdefault(cell["task"], []).append(cell[methods[-1]] - cell[methods[0]])
            if gains:
                means = [float(np.mean(of_task)) for of_task in gains.values()]
                every = [f"{task} {100 * mean:+.1f}" for task, mean in zip(gains, means, strict=True)]
                spread = float(np.std([gain for of_task in gains.values() for gain in of_task]))
                mean = f"{100 * np.mean(means):+.1f} ± {100 * spread:.1f}"
                yield f"{size:3d} a class, {kind}: {mean}  ({', '.join(every)})"


def main() -> int:
    """Run what is not done yet, and sum up all that is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tasks", nargs="+", choices=[*OTHERS, *BENCHMARK], default=[*OTHERS, *BENCHMARK])
    parser.add_argument("--rows", nargs="+", type=int, default=[8, 16, 32, 64])
    parser.add_argument("--draws", nargs="+", type=int, default=[0])
    parser.add_argument("--methods", default="probe,contrastive", help="the gain is the last one's over the first")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "worth")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        print(f"skipped: no development data at {arguments.data}", file=sys.stderr)
        return 0
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    methods = arguments.methods.split(",")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for draw in arguments.draws:
        for size in arguments.rows:
            for task in arguments.tasks:
                target = arguments.out / f"{task}-{size}-{draw}.json"
                if target.exists():
                    continue
                try:
                    if task in BENCHMARK:
                        learned, judged = of_benchmark(arguments.data / "fewshot", task, size, draw)
                    else:
                        learned, judged = split(OTHERS[task](arguments.data), size, draw)
                except FileNotFoundError as error:
                    print(f"{task} skipped: there is no {error.filename}", file=sys.stderr)
                    continue
                classes = len({label for _, label in learned})
                if classes < 2:
                    print(f"{task}: fewer than two classes with {size + LEFT} rows")
                    continue
                found = accuracies(learned, judged, draw, methods)
                cell = {"task": task, "rows": size, "draw": draw, "classes": classes, "judged": len(judged), **found}
                temporary = target.with_suffix(f".{os.getpid()}.tmp")
                temporary.write_text(json.dumps({**cell, **hardware()}, indent=1) + "\n")
                temporary.replace(target)
                print(*cell.values(), flush=True)
    cells = [json.loads(file.read_text()) for file in sorted(arguments.out.glob("*.json"))]
    for line in told([cell for cell in cells if set(methods) <= set(cell)], methods):
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
