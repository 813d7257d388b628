"""What `fewtune study formats` finds on public few-shot sets: every format against plain text, losing rows kept.

python benchmarks/audit/formats.py [DATA]

DATA is a folder with NAME/64-0/train.csv (default ../shared/data/fewshot). Nothing was chosen on these rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fewtune import read
from fewtune.report.result import hardware, versions
from fewtune.study.settings import Settings
from fewtune.studying import study_formats

HERE = Path(__file__).resolve().parent
SETS = ("sst2", "trec", "ag_news")
METHODS = ("probe", "zero_shot")


def main(arguments: list[str]) -> int:
    data = Path(arguments[0]) if arguments else HERE.parents[1].parent / "shared/data/fewshot"
    if not data.is_dir():
        print(f"skipped: {data} is not there")
        return 0
    rows = []
    for name in SETS:
        train = read(data / name / "64-0" / "train.csv")
        for method in METHODS:
            found = study_formats(train, Settings(methods=(method,), folds=5, repeats=1))
            for one in found["formats"]:
                against = one["against_plain"] or {}
                rows.append(
                    {
                        "set": name,
                        "rows": found["rows"],
                        "method": method,
                        "format": one["name"],
                        "accuracy": round(one["accuracy"]["mean"], 4),
                        "difference": round(against.get("difference", 0.0), 4),
                        "verdict": against.get("verdict"),
                    }
                )
                print(*rows[-1].values())
    plain = {"versions": versions(), "hardware": hardware(), "rows": rows}
    (HERE / "formats.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
