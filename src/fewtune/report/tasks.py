"""Several tasks in one tuning, and what was learnt again beside the rows: their parts of `result.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewtune.report.assemble import BETTER
from fewtune.report.written import against, oof_scores, score_test

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fewtune.data.base import Dataset
    from fewtune.study.ladder import Climb
    from fewtune.study.tasks import Apart
    from fewtune.tune.run import Context
    from fewtune.writer_folder import WritingModel

WORSE = "worse"
FORMULA = "rows^(1/temperature), over the sum of it"
HURT, HELPED, UNTOLD, UNCOMPARED = "hurt", "helped", "cannot be told apart", "not compared"


def with_tasks(result: dict[str, Any], context: Context, climb: Climb, parts: Sequence[Apart]) -> None:
    """Add what was replayed and, of several tasks, each by itself; who is hurt is said in the verdict."""
    mix = context.mix
    if mix is None:
        return
    if mix.replay:
        result["replay"] = _replay(mix.share, {source.name: len(source.examples) for source in mix.replayed})
    if not parts:
        return
    shares = [share / (1 - mix.replays) for share in mix.shares(len(context.dataset))[: len(mix.names)]]
    result["mixing"] = {"temperature": mix.temperature, "formula": FORMULA}
    result["tasks"] = [
        _task(part, context, share, climb.winning.recipe.title, looked_at=len(parts))
        for part, share in zip(parts, shares, strict=True)
    ]
    say_who_is_hurt(result)


def say_who_is_hurt(result: dict[str, Any]) -> None:
    """Put what mixing did to each task into the verdict."""
    tasks = result["tasks"]
    verdict = result["verdict"]
    hurt = [one["name"] for one in tasks if one["verdict"] == HURT]
    verdict["hurt"] = hurt
    verdict["sentence"] += " " + _sentence(tasks, hurt)
    if hurt:
        do = f"Tune {_listed(hurt)} alone: fewtune fit with {'its' if len(hurt) == 1 else 'their'} file only."
        verdict["advice"].insert(0, {"do": do, "why": "Mixed with the others the rows cost clearly more."})


def _sentence(tasks: Sequence[dict[str, Any]], hurt: list[str]) -> str:
    told = [one for one in tasks if one["verdict"] != UNCOMPARED]
    if not told:
        return f"Whether mixing hurts a task is not known: {tasks[0]['reason']}."
    if hurt:
        by = [f"{-one['against_alone']['difference']:.3f}" for one in tasks if one["verdict"] == HURT]
        return f"Mixing hurts {_listed(hurt)}: {_listed(by)} bits per byte more than tuned alone."
    helped = [one["name"] for one in told if one["verdict"] == HELPED]
    said = f"Mixing helps {_listed(helped)} and hurts none" if helped else "No task is hurt by mixing, or helped"
    return f"{said}, as far as these rows can tell."


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _task(part: Apart, context: Context, share: float, title: str, *, looked_at: int) -> dict[str, Any]:
    dataset = context.dataset.subset(part.rows.tolist())
    found: dict[str, Any] = {
        "name": part.name,
        "rows": len(part.rows),
        "share": share,
        "cv": oof_scores(part.mixed, dataset),
    }
    if part.prompted is not None:
        found["against_zero_shot"] = against(part.mixed, part.prompted, "zero_shot")
    if part.alone is None:
        return {**found, "verdict": UNCOMPARED, "reason": part.reason}
    # Several tasks are looked at: each is asked for so much more that none is called hurt by chance.
    held = against(part.mixed, part.alone.oof, "alone", level=1 - 0.05 / looked_at)
    verdict = {BETTER: HELPED, WORSE: HURT}.get(held["verdict"], UNTOLD)
    recipe = part.alone.recipe
    alone = {"title": recipe.title, "recipe": recipe.to_json(), "cv": oof_scores(part.alone.oof, dataset)}
    return {**found, "against_alone": held, "alone": alone, "mixed_title": title, "verdict": verdict}


def _replay(share: float, sources: dict[str, int]) -> dict[str, Any]:
    named = _listed([f"{name} ({rows} rows)" for name, rows in sources.items()])
    sentence = f"{share:.0%} of the rows learnt were replayed, from {named}. Nothing of it stands in what is measured."
    return {"share": share, "sources": [{"name": n, "rows": rows} for n, rows in sources.items()], "sentence": sentence}


def read_task_tests(
    result: dict[str, Any], model: WritingModel, train: Dataset, tests: Sequence[tuple[str, Dataset]]
) -> None:
    """Score each task's test file, the one time it is read."""
    for task, (name, test) in zip(result["tasks"], tests, strict=True):
        assert task["name"] == name, f"{task['name']} is tested on the rows of {name}"
        task["test"] = score_test(model, train, test, command=result.get("command"))


__all__ = ["HELPED", "HURT", "UNCOMPARED", "UNTOLD", "read_task_tests", "say_who_is_hurt", "with_tasks"]
