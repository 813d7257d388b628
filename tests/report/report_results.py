"""Results to draw: a full one (13 classes of support tickets, 9 rungs), a minimal one, one of any number of classes."""

from __future__ import annotations

import math
import random
from typing import Any

CLASSES = {
    "delivery delay": 60,
    "refund request": 50,
    "device offline": 49,
    "setup help": 45,
    "login problem": 42,
    "billing error": 38,
    "app crash": 34,
    "cancel subscription": 32,
    "damaged item": 28,
    "warranty claim": 25,
    "feature request": 20,
    "data privacy": 14,
    "gift card": 12,
}
RUNGS = [
    ("majority", "Largest class", "", 0.134, 0.2),
    ("zero_shot", "Zero-shot by class names", "all-MiniLM-L6-v2", 0.612, 3.1),
    ("neighbours", "Nearest neighbours", "all-MiniLM-L6-v2", 0.748, 4.0),
    ("probe", "Probe", "all-MiniLM-L6-v2", 0.821, 6.4),
    ("probe_self", "Probe with self-training", "all-MiniLM-L6-v2", 0.824, 21.7),
    ("contrastive", "Contrastive tuning, then probe", "all-MiniLM-L6-v2", 0.842, 312.0),
    ("lora", "LoRA", "all-MiniLM-L6-v2", 0.836, 498.4),
    ("full", "Full fine-tuning", "all-MiniLM-L6-v2", 0.801, 741.0),
    ("lora_large", "LoRA on a larger backbone", "bge-base-en-v1.5", None, 0.0),
]
WINNER = 5


def around(mean: float, half: float = 0.039) -> dict[str, float]:
    return {"mean": mean, "low": max(0.0, round(mean - half, 4)), "high": min(1.0, round(mean + half, 4))}


def against(other: str, difference: float, half: float = 0.02, **more: Any) -> dict[str, Any]:
    unclear = abs(difference) < half
    verdict = "cannot be told apart with this much data" if unclear else "better" if difference > 0 else "worse"
    low, high = round(difference - half, 4), round(difference + half, 4)
    return {"other": other, "difference": difference, "low": low, "high": high, "p": 0.2, "verdict": verdict, **more}


def curve(split: int, climbs: bool) -> dict[str, Any]:
    draw = random.Random(split)
    steps = list(range(0, 201, 4))
    train = [2.5 * math.exp(-s / 45) + 0.04 + draw.gauss(0, 0.03) * math.exp(-s / 90) for s in steps]
    checks = list(range(0, 201, 20))
    turn = 0.0022 if climbs else 0.0002
    validation = [1.9 * math.exp(-s / 50) + 0.62 + turn * max(0, s - 90) + draw.gauss(0, 0.025) for s in checks]
    return {
        "split": split,
        "steps": steps,
        "train_loss": [round(x, 5) for x in train],
        "validation_steps": checks,
        "validation_loss": [round(x, 5) for x in validation],
        "best_step": checks[validation.index(min(validation))],
    }


def rung(place: int) -> dict[str, Any]:
    name, title, backbone, score, seconds = RUNGS[place]
    made: dict[str, Any] = {"name": name, "title": title, "backbone": backbone, "recipe": {"method": name}}
    made |= {"status": "judged", "seconds": seconds, "reseeded": 0, "notes": [], "curves": []}
    if score is None:
        reason = "It would take about 41 min; 12 min of the 30 min allowed are left."
        return made | {"status": "skipped", "reason": reason, "cv": None}
    made["cv"] = {"accuracy": around(score), "macro_f1": around(score - 0.03), "log_loss": around(1.2 - score)}
    if place:
        below, before = RUNGS[place - 1][0], RUNGS[place - 1][3] or 0.0
        more = {"rows_needed": 2900} if abs(score - before) < 0.02 else {}
        made["against_below"] = against(below, round(score - before, 4), **more)
        made["against_majority"] = against("majority", round(score - 0.134, 4), 0.04)
    if name in {"contrastive", "lora", "full"}:
        made["curves"] = [curve(split, name == "full") for split in range(5)]
        made["trainable_parameters"] = {"contrastive": 22_713_216, "lora": 147_456, "full": 22_718_221}[name]
        rising = "Validation loss turns up after step 96 while training loss goes on falling: it learns rows by heart."
        steady = "Training and validation loss fall together: no sign of learning by heart."
        sentence = rising if name == "full" else steady
        made["overfit"] = {"gap": 0.6, "opens_at_step": 96 if name == "full" else None, "sentence": sentence}
    if name == "lora":
        made |= {"reseeded": 2, "notes": ["Stopped early in 4 of 5 folds."]}
    return made


def confusion(sizes: list[int], seed: int = 0, miss: float = 0.16) -> list[list[int]]:
    draw, size = random.Random(seed), len(sizes)
    matrix = [[0] * size for _ in sizes]
    for given, rows in enumerate(sizes):
        for _ in range(rows):
            near = (given + draw.choice([1, 1, 1, 2, 5])) % size
            matrix[given][near if draw.random() < miss else given] += 1
    return matrix


def per_class(names: list[str], sizes: list[int]) -> list[dict[str, Any]]:
    draw = random.Random(3)
    made = []
    for name, rows in zip(names, sizes, strict=True):
        half, mean = round(0.55 / rows**0.5, 4), 0.93 - 0.6 / rows**0.5 + draw.uniform(-0.06, 0.04)
        scores = {
            key: around(round(mean + draw.uniform(-0.03, 0.03), 4), half) for key in ("precision", "recall", "f1")
        }
        made.append({"name": name, "rows": rows, **scores})
    return made


def winner(names: list[str], sizes: list[int]) -> dict[str, Any]:
    confident = [0.31, 0.44, 0.55, 0.66, 0.75, 0.86, 0.96]
    right = [0.38, 0.49, 0.5, 0.7, 0.78, 0.9, 0.97]
    counts = [18, 27, 41, 52, 70, 96, 145]
    return {
        "name": "contrastive",
        "title": "Contrastive tuning, then probe",
        "recipe": {"method": "contrastive", "backbone": "all-MiniLM-L6-v2", "settings": {"epochs": 4, "rate": 2e-05}},
        "rung": WINNER,
        "cv": {
            "accuracy": around(0.842),
            "macro_f1": around(0.811, 0.044),
            "weighted_f1": around(0.839),
            "balanced_accuracy": around(0.806, 0.045),
            "mcc": around(0.823, 0.043),
            "log_loss": around(0.561, 0.09),
            "brier": around(0.242, 0.05),
            "calibration_error": around(0.031, 0.012),
        },
        "per_class": per_class(names, sizes),
        "confusion": confusion(sizes),
        "calibration": {
            "temperature": 1.31,
            "error_before": 0.0712,
            "error_after": 0.0308,
            "bins": [
                {
                    "rows": n,
                    "confidence": c,
                    "accuracy": r,
                    "low": max(0, round(r - 0.9 / n**0.5, 3)),
                    "high": min(1, round(r + 0.9 / n**0.5, 3)),
                }
                for c, r, n in zip(confident, right, counts, strict=True)
            ],
        },
        "abstain": {
            "target": 0.95,
            "threshold": 0.72,
            "coverage": 0.683,
            "precision": {"mean": 0.951, "low": 0.921, "high": 0.972},
            "rows": 307,
        },
        "selected_share": {"contrastive": 0.71, "lora": 0.17, "probe": 0.09, "probe_self": 0.03},
    }


TEXTS = [
    ("Why did I get a bill? I cancelled in the spring.", "billing error", "cancel subscription"),
    ("refund pls, picture quality nowhere near what the ad shows", "damaged item", "refund request"),
    ("It says my account doesn't exist. I've had it for four years.", "app crash", "login problem"),
    ("Kindly process the reimbursement for the returned item, RMA 4471.", "gift card", "refund request"),
    ("The courier's site shows my thermostat sitting in the same depot.", "device offline", "delivery delay"),
    ('During setup it asks me for the "home PIN". I never made one.', "login problem", "setup help"),
]


def suspects(count: int) -> list[dict[str, Any]]:
    made = []
    for place in range(count):
        text, given, suggested = TEXTS[place % len(TEXTS)]
        row = {"row": 17 * place + 3, "id": f"T{17 * place + 3:04d}", "text": text, "given": given}
        sure = round(0.97 - 0.015 * place, 3)
        made.append(row | {"suggested": suggested, "probability_given": 0.02, "probability_suggested": sure})
    return made


def unsure(count: int) -> list[dict[str, Any]]:
    made = []
    for place in range(count):
        text, given, other = TEXTS[place % len(TEXTS)]
        top = [{"label": given, "probability": 0.34}, {"label": other, "probability": 0.31}]
        top.append({"label": "setup help", "probability": 0.12})
        made.append({"row": 11 * place + 2, "id": f"T{11 * place + 2:04d}", "text": text, "given": given, "top": top})
    return made


def full() -> dict[str, Any]:
    """Everything that format 1 can hold."""
    names, sizes = list(CLASSES), list(CLASSES.values())
    scores = {key: around(mean, 0.046) for key, mean in [("accuracy", 0.853), ("macro_f1", 0.829)]}
    leak = {"row": 41, "id": "X0041", "train_row": 77, "train_id": "T0077", "kind": "exact", "text": TEXTS[0][0]}
    leaks = [leak, leak | {"row": 90, "train_row": 12, "kind": "near"}, leak | {"row": 203, "train_row": 301}]
    return {
        "format": 1,
        "task": "classification",
        "source": "examples/tickets.csv",
        "rows": 449,
        "classes": [{"name": name, "rows": rows} for name, rows in CLASSES.items()],
        "seconds": 1588.2,
        "seed": 0,
        "budget_seconds": 1800,
        "versions": {"fewtune": "0.1.0", "python": "3.11.7", "torch": "2.8.0", "transformers": "5.2.0"},
        "hardware": {"cpu": "AMD EPYC 9R14", "cores": 2, "memory_gib": 15.6, "device": "cpu", "precision": "float32"},
        "data": {
            "fingerprint": "sha256:9c1f0b7e55a2",
            "text_column": "text",
            "label_column": "label",
            "notes": ["2 pairs of rows are word for word the same; 10 more nearly so. Each pair stays in one fold."],
            "duplicates": 12,
            "unlabelled": {"source": "examples/tickets_unlabelled.csv", "rows": 646},
        },
        "resampling": {
            "folds": 5,
            "repeats": 3,
            "splits": 15,
            "groups": True,
            "sentence": "Every candidate was trained and scored on the same 15 splits (5 folds, 3 times).",
        },
        "verdict": {
            "sentence": "Believe it: 84 % of new tickets are labelled right, far better than with no training at all.",
            "against_majority": against("majority", 0.708, 0.041),
            "against_zero_shot": against("zero_shot", 0.23, 0.038),
            "advice": [
                {"do": "Check the 24 labels listed below.", "why": "About 16 look wrong; they cost 1 to 2 points."},
                {
                    "do": "Label 100 more tickets.",
                    "why": "The forecast is 87 % at 900 rows; take the unsure ones first.",
                },
                {"do": "Send answers below 72 % confidence to a person.", "why": "95 % of the others are right."},
            ],
        },
        "winner": winner(names, sizes),
        "ladder": [rung(place) for place in range(len(RUNGS))],
        "selection": {
            "rule": "one_standard_error",
            "sentence": "The simplest candidate within one standard error of the best is chosen.",
            "beliefs": [
                {"name": "probe", "observed": 0.0, "observed_error": 0.0, "prior": 0.0, "prior_spread": 0.0}
                | {"posterior": 0.0, "posterior_spread": 0.0, "data_weight": 1.0},
                {"name": "contrastive", "observed": 0.021, "observed_error": 0.011, "prior": 0.06}
                | {"prior_spread": 0.045, "posterior": 0.0232, "posterior_spread": 0.0107, "data_weight": 0.944},
            ],
        },
        "learning_curve": {
            "method": "contrastive",
            "points": [
                {"rows": rows, "accuracy": around(mean, half)}
                for rows, mean, half in [(45, 0.58, 0.07), (90, 0.69, 0.058), (180, 0.77, 0.048), (359, 0.842, 0.039)]
            ],
            "sentence": "Accuracy still climbs: twice the rows should bring about 3 points.",
            "forecast": {"rows": 900, "accuracy": {"mean": 0.871, "low": 0.83, "high": 0.905}},
        },
        "suspects": suspects(24),
        "unsure": unsure(8),
        "test": {
            "source": "examples/tickets_test.csv",
            "rows": 272,
            "scored": 269,
            **scores,
            "per_class": per_class(names, [max(4, rows // 2) for rows in sizes]),
            "confusion": confusion([max(4, rows // 2) for rows in sizes], seed=9),
            "read_at": "2025-06-03 14:22",
            "leaks": leaks,
            "with_leaks": {"accuracy": around(0.851, 0.046), "macro_f1": around(0.827, 0.047)},
        },
    }


def minimal() -> dict[str, Any]:
    """What is never absent: the winner, the ladder and the verdict, each as bare as can be."""
    return {
        "format": 1,
        "task": "classification",
        "source": "notes.csv",
        "rows": 24,
        "classes": [{"name": "no", "rows": 14}, {"name": "yes", "rows": 10}],
        "verdict": {"sentence": "Too few rows to tell.", "advice": []},
        "winner": {"name": "majority", "title": "Largest class", "rung": 0, "cv": {"accuracy": around(0.583, 0.2)}},
        "ladder": [{"name": "majority", "title": "Largest class", "status": "judged", "seconds": 0.1}],
    }


def of_classes(count: int) -> dict[str, Any]:
    """The full result with another number of classes."""
    names = [f"intent {place:02d}" for place in range(count)]
    sizes = [8 + (place * 7) % 23 for place in range(count)]
    made = full()
    made["classes"] = [{"name": name, "rows": rows} for name, rows in zip(names, sizes, strict=True)]
    made["winner"] = winner(names, sizes)
    made["test"] = None
    return made
