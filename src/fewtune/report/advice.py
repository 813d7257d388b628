"""What to do next: a few sentences drawn from the result, most useful first."""

from __future__ import annotations

from typing import Any

from fewtune.data.clean.base import points

FEW_ROWS = 8
WORTH_LABELLING = 0.02
FEW_GROUPS = 10
"""Groups below which it is groups that are wanted, not rows."""
MOST = 6
MOST_WARNINGS = 2


def advise(result: dict[str, Any], verdict: dict[str, Any]) -> list[dict[str, str]]:
    """At most six pieces of advice, each with its reason."""
    found = [*_warnings(result), *_conflicts(result), *_trust(result, verdict), *_leaks(result), *_labels(result)]
    found += [*_more_rows(result), *_classes(result)]
    return ([*found, *_pairs(result), *_skipped(result), *_pool(result)])[:MOST]


def _advice(do: str, why: str) -> dict[str, str]:
    return {"do": do, "why": why}


def _warnings(result: dict[str, Any]) -> list[dict[str, str]]:
    """What gives the label away is said before all else; what merely may, too, as long as it leaves room."""
    return [_advice(one["do"], f"{one['what']} {one['reason']}") for one in result.get("warnings", ())[:MOST_WARNINGS]]


def _conflicts(result: dict[str, Any]) -> list[dict[str, str]]:
    rows = result["data"].get("conflicting", 0)
    if not rows:
        return []
    return [
        _advice(
            f"Settle the {rows} rows that say the same as another but carry another label.",
            "No model can be right on both; the page lists them among its data notes.",
        )
    ]


def _trust(result: dict[str, Any], verdict: dict[str, Any]) -> list[dict[str, str]]:
    against = verdict.get("against_majority")
    if against is None or against["verdict"] == "better":
        return []
    groups = result["resampling"].get("group_count")
    if groups is not None and groups < FEW_GROUPS:
        return [
            _advice(
                f"Add rows of other groups: there are only {groups}.",
                "Scores are of groups that the model has not seen, and so few say next to nothing of others; more rows "
                "of the same groups would not change that.",
            )
        ]
    needed, size = against.get("rows_needed"), points(against.get("rows_needed_for", 0))
    rows = f" About {needed} rows in all would tell a difference of {size}." if needed else ""
    return [
        _advice(
            f"Check that the labels follow from the text before labelling more.{rows}",
            "The model cannot be told apart from always answering the commonest class.",
        )
    ]


def _leaks(result: dict[str, Any]) -> list[dict[str, str]]:
    test = result.get("test")
    if not test or not test["leaks"]:
        return []
    if len(test["leaks"]) == test["rows"]:
        return [
            _advice(
                "Give another test file: every row of this one also stands in the training file.",
                "A score on it would say how much was remembered, nothing about new texts, so none is given.",
            )
        ]
    one = len(test["leaks"]) == 1
    them = "the test row that also stands" if one else f"the {len(test['leaks'])} test rows that also stand"
    return [
        _advice(
            f"Take {them} in the training file out of the test file.",
            "A model is right on what it has seen: the test score given is that of the other rows.",
        )
    ]


def _labels(result: dict[str, Any]) -> list[dict[str, str]]:
    count = len(result["suspects"])
    if not count:
        return []
    them = "row" if count == 1 else f"{count} rows"
    return [
        _advice(
            f"Look at the {them} most likely mislabelled, listed on the page.",
            "About half of such flags are truly wrong labels, and each one corrected helps both training and scores.",
        )
    ]


def _more_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    forecast = result["learning_curve"].get("forecast")
    if not forecast:
        return []
    gain, rows = forecast["gain"], forecast["rows"]
    mean, low, high = (f"{100 * gain[key] + 0.0:+.1f}" for key in ("mean", "low", "high"))
    told = f"{mean} points at {rows} rows ({low} to {high})"
    if gain["mean"] >= WORTH_LABELLING:
        sure = "still climbs" if gain["low"] > 0 else "seems to climb, but from so few rows it may not"
        do = f"Label more rows: {rows} in all are expected to bring {100 * gain['mean']:.1f} points."
        return [_advice(do, f"The learning curve {sure}: {told}.")]
    if any(one["rows"] < FEW_ROWS for one in result["classes"]):
        return []  # the small classes are what to label, and are named
    if gain["high"] >= WORTH_LABELLING:
        do = "Whether more rows of the same kind would help cannot be told from these: label some and fit again."
        return [_advice(do, f"The learning curve expects {told}.")]
    do = "More rows of the same kind will bring little: add hard cases instead."
    return [_advice(do, f"The learning curve is nearly flat: {told}.")]


def _classes(result: dict[str, Any]) -> list[dict[str, str]]:
    small = [one["name"] for one in result["classes"] if one["rows"] < FEW_ROWS]
    if not small or len(small) == len(result["classes"]):
        return []
    named = ", ".join(small[:5]) + (" and others" if len(small) > 5 else "")
    return [_advice(f"Label more rows of {named}.", f"They have fewer than {FEW_ROWS} rows each.")]


def _pairs(result: dict[str, Any]) -> list[dict[str, str]]:
    matrix, classes = result["winner"]["confusion"], [one["name"] for one in result["classes"]]
    pairs = [
        (matrix[a][b] + matrix[b][a], classes[a], classes[b])
        for a in range(len(classes))
        for b in range(a + 1, len(classes))
    ]
    count, first, second = max(pairs, default=(0, "", ""))
    if len(classes) < 3 or count < 3:
        return []
    return [
        _advice(
            f"Read {first} and {second} side by side: sharpen what divides them, or merge them.",
            f"They are confused with one another {count} times, more than any other pair.",
        )
    ]


def _skipped(result: dict[str, Any]) -> list[dict[str, str]]:
    titles = [rung["title"] for rung in result["ladder"] if rung["status"] == "skipped" and "budget" in rung["reason"]]
    if not titles:
        return []
    return [
        _advice(
            f"Run the same command with a larger --budget to have {'; '.join(titles)} judged.",
            "What is finished is kept; only these rungs are added.",
        )
    ]


def _pool(result: dict[str, Any]) -> list[dict[str, str]]:
    if result["data"].get("unlabelled"):
        return []
    return [
        _advice(
            "Give unlabelled texts of the same kind with --unlabelled.",
            "Self-training on them can add points without any labelling.",
        )
    ]
