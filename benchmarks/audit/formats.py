"""What `fewtune study formats` finds on public few-shot sets: every format against plain text, losing rows kept.

python benchmarks/audit/formats.py [DATA] [--out FILE]

DATA is a folder with NAME/64-0/train.csv (default ../shared/data/fewshot). Nothing was chosen on these rows.
"""

from __future__ import annotations

from common import options_of, skip_without, write

from fewtune import read
from fewtune.study.settings import Settings
from fewtune.studying import study_formats

SETS = ("sst2", "trec", "ag_news")
METHODS = ("probe", "zero_shot")


def main() -> int:
    options = options_of(__doc__, "formats.json").parse_args()
    skip_without(options.data)
    rows = []
    for name in SETS:
        train = read(options.data / name / "64-0" / "train.csv")
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
    write(options.out, {"rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
