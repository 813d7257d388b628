"""Put `result.json` together where several tunings follow one another: a table of what each gave and took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from fewtune.metrics.forgetting import measure_forgetting
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.transfer import transfer
from fewtune.report.assemble import FORMAT
from fewtune.report.result import hardware, versions

BEFORE = "before"
FORMULA = (
    "R[s, t]: bits per byte of stage t's held-out rows after stage s. Backward transfer: mean over t < T of R[t, t] − "
    "R[T, t]. Forgetting: mean over t < T of R[T, t] − the least R[s, t] of 1 ≤ s < T. Forward transfer: mean over t "
    "> 1 of R[0, t] − R[t − 1, t] (Lopez-Paz and Ranzato 2017; Chaudhry and others 2018)."
)
Costs = Mapping[str, Likelihoods]


def build_stages(
    *,
    columns: Mapping[str, int],
    names: Sequence[str],
    about: list[dict[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    costs: Sequence[Costs],
    groups: Mapping[str, list[str]],
    last: Mapping[str, Any],
    plan: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """The result of all stages.

    Parameters
    ----------
    columns : what models were examined on, and how many rows each has: the stages, then what is beside them.
    names : of the stages, in order.
    about : of each stage, what is told beside its scores.
    rows : of the untuned model, then of each stage: what `examined` gave.
    costs : the same, as likelihoods.
    groups : of each column, which rows count as one.
    last : the last stage's result.
    plan : the plan as it was meant.
    """
    seed = int(plan["seed"])
    beside = [name for name in columns if name not in names]
    for entry, row in zip(about, rows[1:], strict=True):
        entry["tuned"] = bool(row["tuned"])
    changes = [_change(name, place + 1, costs, groups, seed) for place, name in enumerate(names[:-1])]
    changes += [_change(name, 0, costs, groups, seed) for name in beside]
    usual = transfer([[row[name] for name in names] for row in costs], [groups[name] for name in names], seed=seed)
    result: dict[str, Any] = {
        "format": FORMAT,
        "task": "stages",
        "source": " → ".join(names),
        "rows": sum(entry["rows"] for entry in about),
        "seed": seed,
        "plan": dict(plan),
        "versions": versions(),
        "hardware": hardware(),
        "columns": [
            {"name": name, "kind": "beside" if name in beside else "stage", "rows": count}
            for name, count in columns.items()
        ],
        "stages": about,
        "table": [
            {"after": after, "cells": _finite(row["scores"])} for after, row in zip([BEFORE, *names], rows, strict=True)
        ],
        "transfer": {**_finite(usual.to_json()), "formula": FORMULA},
        "changes": changes,
        "winner": last["winner"],
        "ladder": [],
        "seconds": round(seconds, 2),
    }
    result["verdict"] = {"sentence": _sentence(result, names), "advice": _advice(result, names)}
    return result


def _change(
    name: str, since: int, costs: Sequence[Costs], groups: Mapping[str, list[str]], seed: int
) -> dict[str, Any]:
    """What the stages after `since` did to a column, paired by row."""
    before, after = costs[since][name], costs[-1][name]
    found = measure_forgetting(before, after, name=name, groups=groups[name], seed=seed).to_json()
    del found["hardest_hit"]
    start = "before any stage" if since == 0 else "after its own stage"
    mean, low, high = (found["difference"][key] for key in ("mean", "low", "high"))
    between = f"{low:+.3f} to {high:+.3f}" if isfinite(low) and isfinite(high) else "one prompt gives no range"
    found["sentence"] = (
        f"{name}: from {found['before']['mean']:.3f} bits per byte {start} to {found['after']['mean']:.3f} at the end "
        f"({mean:+.3f}, {between}): {_WORDS[found['verdict']]}."
    )
    return {**_finite(found), "since": since}


def _finite(plain: Any) -> Any:
    """The same with null for what is not finite, which JSON cannot hold: a range that one prompt alone cannot give."""
    if isinstance(plain, dict):
        return {key: _finite(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_finite(value) for value in plain]
    return None if isinstance(plain, float) and not isfinite(plain) else plain


_WORDS = {"forgotten": "forgotten", "gained": "gained", "kept": "no change that can be told from chance"}


def _sentence(result: dict[str, Any], names: Sequence[str]) -> str:
    by_name = {one["name"]: one for one in result["changes"]}
    lost = [name for name in names[:-1] if by_name[name]["verdict"] == "forgotten"]
    gained = [name for name in names[:-1] if by_name[name]["verdict"] == "gained"]
    parts = [f"After {len(names)} stages"]
    if lost:
        each = ", ".join(f"{name} (+{by_name[name]['difference']['mean']:.3f} bits per byte)" for name in lost)
        parts.append(f"later stages made the model worse at {each}")
    if gained:
        parts.append(f"{'and ' if lost else 'later stages made the model '}better at {', '.join(gained)}")
    if not lost and not gained:
        parts.append("nothing earlier was forgotten that these rows can show")
    idle = [entry["name"] for entry in result["stages"] if not entry["tuned"] and entry["judged"]]
    still = f" {', '.join(idle)} changed no weights: asking was as good as tuning." if idle else ""
    late = [entry["name"] for entry in result["stages"] if not entry["judged"]]
    still += f" {', '.join(late)} changed no weights: no tuned model was judged." if late else ""
    return f"{parts[0]}, {' '.join(parts[1:])}.{still}{_of_beside(result)}"


def _of_beside(result: dict[str, Any]) -> str:
    kinds = {column["name"] for column in result["columns"] if column["kind"] == "beside"}
    hit = [one for one in result["changes"] if one["name"] in kinds and one["verdict"] == "forgotten"]
    return "".join(f" On {one['name']}: {one['difference']['mean']:+.3f} bits per byte, forgotten." for one in hit)


def _advice(result: dict[str, Any], names: Sequence[str]) -> list[dict[str, str]]:
    by_name = {one["name"]: one for one in result["changes"]}
    lost = [name for name in names[:-1] if by_name[name]["verdict"] == "forgotten"]
    general = [name for name, one in by_name.items() if name not in names and one["verdict"] == "forgotten"]
    steps = []
    if any(not entry["judged"] for entry in result["stages"]):
        steps.append({"do": "Give more time with --budget.", "why": "In some stages no tuned model was judged."})
    if lost and "earlier" not in result["plan"]["replay"]:
        steps.append(
            {
                "do": "Replay rows of earlier stages: --replay earlier.",
                "why": f"Later stages made the model worse at {', '.join(lost)}.",
            }
        )
    if lost:
        steps.append(
            {
                "do": "Tune on all files at once: fewtune fit FILE FILE.",
                "why": "What is learnt side by side is not forgotten in between.",
            }
        )
    if general and "general" not in result["plan"]["replay"]:
        do = "Replay general text: --replay general, or a file of your own."
        steps.append({"do": do, "why": "It was forgotten."})
    return [*steps, {"do": "Read the report of each stage.", "why": "It says whether that tuning bought anything."}]


__all__ = ["BEFORE", "build_stages"]
