"""Audits to draw: one with findings of every kind and every shape of number, and one that found nothing."""

from __future__ import annotations

from typing import Any

from report_results import CLASSES

TEXTS = [
    'Got the notification "Front door camera went offline" 46 times this week. Forty-six.',
    "The courier's site shows my thermostat sitting in the same depot since last Thursday.",
    "אני רוצה לבטל את המנוי שלי (Plus) בבקשה",
    "هل يمكنني إرجاع الكاميرا؟",
    "When will you finally support a family calendar? " * 12,
    "ok",
]


def row(number: int, part: str = "train", note: str = "", score: float | None = None, label: str | None = "setup help"):
    text = TEXTS[number % len(TEXTS)]
    name = f"T{number:04d}"
    return {"part": part, "row": number, "id": name, "text": text, "label": label, "note": note, "score": score}


def finding(check: str, severity: str, what: str, rows: list[dict[str, Any]], **numbers: Any) -> dict[str, Any]:
    return {
        "check": check,
        "severity": severity,
        "what": what,
        "reason": "A model is praised for what it learnt by heart: the score would count rows it has seen.",
        "do": f"Take them out: `fewtune prepare tickets.csv --drop {check}`.",
        "numbers": numbers,
        "rows": rows,
    }


def check(name: str, title: str, status: str = "ran", reason: str | None = None, findings: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "question": f"What {name} asks, in one line.",
        "status": status,
        "reason": reason,
        "seconds": 1.25 if status == "ran" else None,
        "findings": findings,
    }


def full() -> dict[str, Any]:
    train = {
        "source": "data/tickets.csv",
        "rows": 449,
        "classes": 13,
        "fingerprint": "0123456789abcdef",
        "text_column": "text",
        "label_column": "label",
        "notes": ["Text column: 'text'.", "2 of 451 rows have no label and are left out: rows 7, 9."],
    }
    test = {**train, "source": "data/tickets_test.csv", "rows": 272, "notes": []}
    return {
        "format": 1,
        "task": "classification",
        "command": "fewtune check data/tickets.csv --test data/tickets_test.csv",
        "verdict": {"blocked": True, "sentence": "2 things would invalidate a result from these data."},
        "parts": {"train": train, "test": test},
        "classes": [{"name": name, "rows": rows} for name, rows in CLASSES.items()],
        "findings": [
            finding(
                "leakage",
                "blocks",
                "31 of 272 test rows are also in the training file.",
                [row(number, "test", f"the same as training row {number + 4}", 1.0) for number in range(1, 32)],
                exact=20,
                near=11,
                share=0.1139,
                by_kind={"exact": 20, "case and punctuation": 6, "near": 5},
            ),
            finding("shortcuts", "blocks", "Column 'queue' gives the label away.", [], accuracy=0.98213),
            finding(
                "label_errors",
                "warning",
                "24 rows carry a label that a model which has not seen them does not believe.",
                [row(number, note="the model says 'login problem'", score=0.1) for number in range(1, 25)],
                noise=0.0534,
            ),
            finding(
                "shift",
                "warning",
                "A model can tell test texts from training texts.",
                [],
                auc=0.7312,
                interval=[0.69, 0.77],
                words=[
                    {"word": "invoice", "train": 4, "test": 61, "times": 15.2},
                    {"word": "Bezahlung", "train": 0, "test": 20, "times": None},
                ],
                longest=["a", "b", "c"],
                none=None,
                certain=True,
            ),
            finding("copies", "note", "12 of 449 rows repeat another row or nearly so.", [row(3), row(4)], clusters=12),
        ],
        "checks": [
            check("task", "A task that can be learnt"),
            check("leakage", "Test rows seen in training", findings=1),
            check("shortcuts", "Columns that give the label away", findings=1),
            check("label_errors", "Labels to check", findings=1),
            check("shift", "Training against test", findings=1),
            check("copies", "Rows that say the same", findings=1),
            check("coverage", "Pool not covered", "skipped", "no unlabelled file was given (--unlabelled FILE)"),
            check("language", "Languages", "failed", "The language model cannot be read. Install it again."),
        ],
        "settings": {"seed": 0, "about": None, "backbone": "default", "model": True},
        "seconds": 12.5,
        "versions": {"python": "3.11.2", "fewtune": "0.1.0"},
        "hardware": {"cpu": "A processor", "cores": 2},
    }


def clean() -> dict[str, Any]:
    made = full()
    ran = [one | {"status": "ran", "reason": None, "findings": 0} for one in made["checks"]]
    verdict = {"blocked": False, "sentence": "Nothing stands in the way."}
    return made | {"verdict": verdict, "findings": [], "checks": ran, "hardware": {}}
