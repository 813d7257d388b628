"""What a preference tuning is said to have bought, and what to do next."""

from __future__ import annotations

from typing import Any

from fewtune.report.assemble import BETTER
from fewtune.study.choice import FIRST_STAGE

WORSE = "worse"
LEAST_BITS = 0.001
"""Differences below this are not said as numbers."""


def sentence_of(result: dict[str, Any], found: dict[str, Any]) -> str:
    """The verdict in words: what was gained, whether it is sure, what it cost."""
    if not found["tuned"]:
        return (
            "No preference tuning was judged in the time given: the first stage is kept, and what tuning would buy is "
            "not known."
        )
    after, before = found["tried"]["accuracy"], found["first"]["accuracy"]
    told = f"{_share(after)} of new preferences ({after['low']:.0%} to {after['high']:.0%})"
    if result["winner"]["name"] != FIRST_STAGE:
        gain = found["against_first"]
        return (
            f"{result['winner']['title']} finds the better answer in {told}, the first stage in {_share(before)}: "
            f"better, by {100 * gain['difference']:.0f} points ({100 * gain['low']:.0f} to {100 * gain['high']:.0f}). "
            f"{_price(found)}"
        )
    if found["against_first"]["verdict"] == WORSE:
        return (
            f"Preference tuning made it worse: the better answer is found in {told}, by the first stage in "
            f"{_share(before)}. The first stage is kept."
        )
    return (
        f"Preference tuning bought nothing that these rows can show: it finds the better answer in {told}, the first "
        f"stage in {_share(before)}. The first stage is kept."
    )


def _share(found: dict[str, Any]) -> str:
    return f"{found['mean']:.0%}"


def _price(found: dict[str, Any]) -> str:
    """What the better answers themselves cost now: preference tuning often makes both answers less likely."""
    loss = found["loss_against_first"]
    size = abs(loss["difference"])
    if loss["verdict"] == BETTER:
        return f"The better answers themselves cost {size:.3f} bits per byte less than before."
    if loss["verdict"] == WORSE:
        return f"Its price: the better answers themselves cost {size:.3f} bits per byte more than before."
    said = "by less than 0.001" if size < LEAST_BITS else f"by {size:.3f}"
    return f"What the better answers themselves cost has changed {said} bits per byte, which may be chance."


def advice_of(result: dict[str, Any], found: dict[str, Any]) -> list[dict[str, str]]:
    """What to do next."""
    steps: list[dict[str, str]] = []
    kept = result["winner"]["name"] != FIRST_STAGE
    if not found["tuned"]:
        why = "Nothing was tuned within it."
        steps.append({"do": "Give more time with --budget, fewer --folds, or one --method.", "why": why})
    elif not kept:
        needed = found["against_first"].get("rows_needed")
        if needed:
            why = "So many would tell a difference of this size, if it is one."
            steps.append({"do": f"Collect preferences: about {needed:,} in all.", "why": why})
        why = "Preferences that two people would mark differently cannot be learned by a model either."
        steps.append({"do": "Have somebody else mark twenty of the prompts, blind, and compare.", "why": why})
    if kept and found["loss_against_first"]["verdict"] == WORSE:
        why = "It holds the model nearer to the first stage."
        name = result["winner"]["name"]
        steps.append({"do": f"If its answers got worse, try a larger beta: --set {name}.beta=0.3.", "why": why})
    overfit = result["ladder"][result["winner"]["rung"]].get("overfit") or {}
    if overfit.get("opens_at_step"):
        steps.append({"do": "Keep the length that was chosen.", "why": overfit["sentence"]})
    if result["test"] is None:
        why = "A file nobody has looked at is the only proof to others."
        steps.append({"do": "Set preferences aside and give them with --test.", "why": why})
    if kept:
        why = "Which of two given answers it finds better says little of what it writes by itself."
        steps.append({"do": "Read what it writes now beside what it wrote before.", "why": why})
    return steps


__all__ = ["advice_of", "sentence_of"]
