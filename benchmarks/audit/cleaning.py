"""What do the checks on language and personal data, and the cleaners, find, miss and cost?

- `language`: false alarms on the training draws of six public English sets (their thresholds were set after looking at
  the same sets' `test.csv`; rows that stand there are left out here). Recall: with `--lines FILE` (language code, tab,
  sentence), sentences of other languages put among English rows, by number of letters.
- `personal_data`: example numbers of every country's plan, written internationally and nationally, with a telephone
  word before them and without; false alarms are every find in the sets but sms_spam, which does hold numbers.
- `cleaners`: rows of each set a cleaner would change, and seconds for 1,000, 10,000 and 100,000 rows, drawn again and
  again from all sets with a running number, so that no two are equal.

    python benchmarks/audit/cleaning.py [DATA] [--lines FILE] [--out FILE]
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import phonenumbers
from common import options_of, skip_without, write

from fewtune.audit.base import Ground
from fewtune.audit.language import FEWEST, LEAST_LETTERS, MARGIN, Language, called
from fewtune.data.base import Dataset, Example
from fewtune.data.clean.personal import find
from fewtune.data.clean.phones import REGIONS
from fewtune.data.clean.registry import CLEANERS

SETS = ("ag_news", "banking77", "emotion", "sms_spam", "sst2", "trec")
SIZES = (1_000, 10_000, 100_000)
LETTERS = (20, 30, 40, 60, 100, 10_000)
A_LANGUAGE = 200


def texts_of(folder: Path) -> list[str]:
    """Distinct training texts of all draws that do not stand in the test file."""

    def column(path: Path) -> list[str]:
        with path.open(encoding="utf-8", newline="") as file:
            return [row["text"] for row in csv.DictReader(file)]

    seen = set(column(folder / "test.csv"))
    return [
        t for t in dict.fromkeys(t for p in sorted(folder.glob("64-*/train.csv")) for t in column(p)) if t not in seen
    ]


def rows(texts: list[str]) -> Dataset:
    """Rows to look at."""
    return Dataset(tuple(Example(text, None, id=str(row), row=row) for row, text in enumerate(texts, 1)))


def strangers(train: list[str], pool: list[str]) -> dict[int, str]:
    """Places in `pool` of rows named as being in another language, and in which."""
    found = Language().run(Ground(rows(train), unlabelled=rows(pool)))
    return {row.row - 1: row.note for one in found for row in one.rows if row.part == "unlabelled"}


def false_alarms(sets: dict[str, list[str]]) -> dict[str, Any]:
    """Rows of English sets named as another language; some of them truly are, so their texts are kept."""
    answer = {}
    for name, texts in sets.items():
        named = strangers(texts[: max(FEWEST, 500)], texts)
        answer[name] = {
            "rows": len(texts),
            "named": len(named),
            "texts": [f"{w}: {texts[i][:90]}" for i, w in named.items()],
        }
    return answer


def recall(english: list[str], lines: Path, rng: np.random.Generator) -> dict[str, Any]:
    """Share of sentences of other languages that are named, by letters and by language."""
    by_language: dict[str, list[str]] = defaultdict(list)
    for line in lines.read_text(encoding="utf-8").splitlines():
        code, _, text = line.partition("\t")
        if text.strip() and code != "en":
            by_language[code].append(text.strip())
    found: dict[str, list[bool]] = defaultdict(list)
    rightly: dict[str, list[bool]] = defaultdict(list)
    for code, given in sorted(by_language.items()):
        some = [given[place] for place in rng.permutation(len(given))[:A_LANGUAGE]]
        named = strangers(english, some)
        for place, text in enumerate(some):
            letters = sum(map(str.isalpha, text))
            size = next(f"under {most}" for most in LETTERS if letters < most)
            found[size].append(place in named)
            found[f"language {code}"].append(place in named)
            if place in named:
                rightly[code].append(named[place] == called(code))
    share = {name: {"rows": len(hits), "named": round(float(np.mean(hits)), 4)} for name, hits in found.items()}
    right = [hit for hits in rightly.values() for hit in hits]
    return {"by": share, "called_rightly": round(float(np.mean(right)), 4)}


def telephone_numbers() -> dict[str, Any]:
    """Share of example numbers found whole, by how they are written."""
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    ways = {
        "international": ("write +me to {}", phonenumbers.PhoneNumberFormat.INTERNATIONAL),
        "E.164": ("my line is {} now", phonenumbers.PhoneNumberFormat.E164),
        "national after a word": ("please call me on {} today", phonenumbers.PhoneNumberFormat.NATIONAL),
        "national alone": ("it is {} today", phonenumbers.PhoneNumberFormat.NATIONAL),
    }
    answer: dict[str, Any] = {}
    for way, (sentence, form) in ways.items():
        for where, regions in (("named countries", REGIONS), ("all countries", sorted(phonenumbers.SUPPORTED_REGIONS))):
            hits = []
            for region in regions:
                for kind in kinds:
                    if (number := phonenumbers.example_number_for_type(region, kind)) is None:
                        continue
                    written = phonenumbers.format_number(number, form)
                    text = sentence.replace("+me", "").format(written)
                    hits.append([text[item.start : item.end] for item in find(text)] == [written])
            answer[f"{way}, {where}"] = {"numbers": len(hits), "found_whole": round(float(np.mean(hits)), 4)}
    return answer


def personal_finds(sets: dict[str, list[str]]) -> dict[str, Any]:
    """Every find in rows of public sets, with a little around it."""
    answer = {}
    for name, texts in sets.items():
        found = [(item, text) for text in texts for item in find(text)]
        answer[name] = {
            "rows": len(texts),
            "found": len(found),
            "first": [f"{item.kind}: {text[max(0, item.start - 20) : item.end]}" for item, text in found[:8]],
        }
    return answer


def costs(texts: list[str]) -> dict[str, Any]:
    """Seconds of every cleaner, and of the check on languages, by number of rows."""
    answer: dict[str, Any] = defaultdict(dict)
    for size in SIZES:
        many = [f"{texts[place % len(texts)]} {place}" for place in range(size)]
        for kind in CLEANERS:
            started = time.perf_counter()
            cleaner = kind()
            cleaner.fit(many)
            for text in many:
                cleaner.propose(text)
            answer[kind.name][str(size)] = round(time.perf_counter() - started, 3)
        started = time.perf_counter()
        list(Language().run(Ground(rows(many))))
        answer["language"][str(size)] = round(time.perf_counter() - started, 3)
    return answer


def changed(sets: dict[str, list[str]]) -> dict[str, dict[str, int]]:
    """Rows of each set that each cleaner would change."""
    answer: dict[str, dict[str, int]] = defaultdict(dict)
    for name, texts in sets.items():
        for kind in CLEANERS:
            cleaner = kind()
            cleaner.fit(texts)
            answer[name][kind.name] = sum(cleaner.propose(text) is not None for text in texts)
    return answer


def main() -> int:
    """Run and write."""
    parser = options_of(__doc__, "cleaning.json")
    parser.add_argument("--lines", type=Path, help="Sentences of many languages: code, tab, text.")
    given = parser.parse_args()
    skip_without(given.data)
    sets = {name: texts_of(given.data / name) for name in SETS}
    together = [text for texts in sets.values() for text in texts]
    result = {
        "thresholds": {"letters": LEAST_LETTERS, "margin": MARGIN, "chosen_on": "test.csv of the same six sets"},
        "language": {"false_alarms": false_alarms(sets)},
        "personal_data": {"telephone_numbers": telephone_numbers(), "finds": personal_finds(sets)},
        "cleaners": {"rows_changed": changed(sets), "seconds": costs(together)},
    }
    if given.lines is not None:
        result["language"] |= {"recall": recall(sets["banking77"][:500], given.lines, np.random.default_rng(0))}
    write(given.out, result)
    print(json.dumps(result, ensure_ascii=False)[:400])
    return 0


if __name__ == "__main__":
    sys.exit(main())
