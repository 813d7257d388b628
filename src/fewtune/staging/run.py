"""Stage after stage: fit, save, examine on the rows of all; what is finished is never done again.

Layout of a folder: `stages.json` (the plan as it was meant), `before.json` (the untuned model examined), for each stage
`N-NAME/` with all that a fit leaves (`result.json`, `report.html`, `model/`, `runs.jsonl`) and, written last,
`stage.json` (the model examined); at the end `result.json` and `report.html` of the whole.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewtune.data.base import Dataset, Example
from fewtune.data.general import GENERAL, OWN, general_text, pieces, read_general, read_replays
from fewtune.data.mixing import Mix, Replayed
from fewtune.data.test_lock import record
from fewtune.errors import StoreError, UsageError
from fewtune.fitting import fit
from fewtune.report.html import write_report
from fewtune.report.stages import build_stages
from fewtune.report.written import PROMPTED
from fewtune.staging.plan import EARLIER, Plan, Stage
from fewtune.staging.scored import Column, examined, likelihoods
from fewtune.staging.sides import Side, sides
from fewtune.study.budget import parse
from fewtune.study.progress import Progress
from fewtune.study.settings import Settings
from fewtune.study.store import write_json
from fewtune.tune.run import arithmetic
from fewtune.writer_folder import WritingModel, save_writer


def run_stages(plan: Plan, *, progress: Progress | None = None, command: str = "") -> dict[str, Any]:
    """Tune stage after stage, and say what each gave the others and took from them.

    Parameters
    ----------
    plan : the stages.
    progress : told of stages, runs and steps.
    command : the exact command line, for the result.

    Returns
    -------
    dict
        What `result.json` in the plan's folder holds.

    Raises
    ------
    FewtuneError : rows, models or a folder that will not do, with what to do.
    """
    started, progress = time.perf_counter(), progress or Progress()
    check_out(plan.out)
    parted = sides(plan)
    columns = columns_of(plan, parted)
    plan.out.mkdir(parents=True, exist_ok=True)
    write_json(plan.out / "stages.json", plan.to_json())
    progress.say("Before any stage")
    rows = [_before(plan, columns)]
    folder, key = plan.backbone, str(rows[0]["key"])
    for number, (stage, side) in enumerate(zip(plan.stages, parted, strict=True), 1):
        key = key_of(plan, stage, side, key, _replayed(plan, parted, number))
        rows.append(_finished(plan.folder(number), key) or _carry(plan, number, parted, columns, folder, key, progress))
        folder = str(plan.folder(number) / "model")
    result = build_stages(
        columns={column.name: len(column.held_out) for column in columns},
        names=[stage.name for stage in plan.stages],
        about=[_about(plan, number, side) for number, side in enumerate(parted, 1)],
        rows=rows,
        costs=[{column.name: likelihoods(row, column.name) for column in columns} for row in rows],
        groups={column.name: column.groups for column in columns},
        last=json.loads((plan.folder(len(plan.stages)) / "result.json").read_text(encoding="utf-8")),
        plan=plan.to_json(),
        seconds=time.perf_counter() - started,
    )
    result["command"] = command or None
    write_json(plan.out / "result.json", result)
    write_report(plan.out)
    return result


def columns_of(plan: Plan, parted: Sequence[Side]) -> list[Column]:
    """The stages' held-out rows, then what no stage is about."""
    beside = [Column(GENERAL, general_text())]
    if plan.general is not None:
        beside.append(Column(OWN, read_general(plan.general)))
    found = [Column(stage.name, side.held_out, side.train) for stage, side in zip(plan.stages, parted, strict=True)]
    names = {column.name for column in found}
    for column in beside:
        if column.name in names:
            raise UsageError(f"A stage is called {column.name!r}, as is the text forgetting is measured on. Rename it.")
    return [*found, *beside]


def check_out(out: Path) -> None:
    """Raises UsageError where a folder holds what no stages wrote."""
    if not out.is_dir():
        return
    found = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    if found and "stages.json" not in found:
        raise UsageError(f"{out} holds files that no stages wrote ({min(found)}). Name a new folder with --out.")


def key_of(plan: Plan, stage: Stage, side: Side, before: str, replayed: Sequence[Replayed]) -> str:
    """What decides a stage: the key of the one before it, its rows and settings. Time to spend is not of it: what was
    finished in less is not done again for more.
    """
    parts = [
        before,
        side.train.fingerprint,
        plan.methods_of(stage),
        plan.changes_of(stage),
        [plan.folds, plan.repeats, plan.seed, plan.template.to_json()],
        Mix(replayed=tuple(replayed), share=plan.replay_share).fingerprint if replayed else None,
    ]
    return _hashed(parts)


def _hashed(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _before(plan: Plan, columns: Sequence[Column]) -> dict[str, Any]:
    """The model before any stage, examined."""
    from fewtune.backbones.language.load import load_language_model

    # The rows are part of the key: with others, everything is scored anew.
    rows = [column.held_out.fingerprint for column in columns]
    start = load_language_model(plan.backbone, precision="float32").fingerprint
    key = _hashed([start, rows, plan.template.to_json(), arithmetic()])
    kept = _kept(plan.out / "before.json", key)
    if kept is not None:
        return kept
    for stage in plan.stages:
        if stage.test is not None:
            record(stage.test, purpose="scored after every stage", command=None)
    found = {"key": key, **examined(plan.backbone, columns, plan.template)}
    write_json(plan.out / "before.json", found)
    return found


def _finished(folder: Path, key: str) -> dict[str, Any] | None:
    """What a finished stage left; None where it must be done."""
    return _kept(folder / "stage.json", key) if (folder / "model" / "fewtune.json").exists() else None


def _kept(path: Path, key: str) -> dict[str, Any] | None:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged ({error}). Delete it: that stage is then done again.") from error
    return plain if isinstance(plain, dict) and plain.get("key") == key else None


def _carry(
    plan: Plan,
    number: int,
    parted: Sequence[Side],
    columns: Sequence[Column],
    start: str,
    key: str,
    progress: Progress,
) -> dict[str, Any]:
    """One stage, from the model in the folder `start`."""
    stage, side, folder = plan.stages[number - 1], parted[number - 1], plan.folder(number)
    progress.say(f"Stage {number} of {len(plan.stages)}: {stage.name}, {len(side.train)} rows")
    budget = parse(plan.budget)
    settings = Settings(
        backbones=(start,),
        methods=plan.methods_of(stage),
        budget=None if budget is None else budget / len(plan.stages),
        folds=plan.folds,
        repeats=plan.repeats,
        seed=plan.seed,
        out=folder,
        template=plan.template,
        executor=plan.executor,
        task=side.train.task,
        changes=plan.changes_of(stage),
    )
    done = fit(side.train, settings, mix=_mix(plan, parted, number), progress=progress)
    assert isinstance(done.model, WritingModel)
    save_writer(done.model, folder / "model")
    write_json(folder / "result.json", done.result)
    write_report(folder)
    tuned = done.model.fitted.trainable_parameters > 0
    found = {"key": key, "tuned": tuned, **examined(folder / "model", columns, plan.template)}
    write_json(folder / "stage.json", found)
    return found


def _replayed(plan: Plan, parted: Sequence[Side], number: int) -> list[Replayed]:
    """What stage `number` learns again: nothing that any model is examined on."""
    found = []
    for source in plan.replay:
        if source == EARLIER:
            earlier = zip(plan.stages[: number - 1], parted, strict=False)
            found += [Replayed(stage.name, _pieces(side.train)) for stage, side in earlier]
        else:
            found += read_replays([source], own=plan.general)
    held_out = [example for side in parted for example in side.held_out]
    return list(Mix(replayed=tuple(found)).without(held_out).replayed)


def _pieces(dataset: Dataset) -> tuple[Example, ...]:
    return tuple(piece for example in dataset for piece in pieces(example))


def _mix(plan: Plan, parted: Sequence[Side], number: int) -> Mix | None:
    replayed = _replayed(plan, parted, number)
    return Mix(replayed=tuple(replayed), share=plan.replay_share) if replayed else None


def _about(plan: Plan, number: int, side: Side) -> dict[str, Any]:
    """What the result says of a stage beside its scores."""
    stage, folder = plan.stages[number - 1], plan.folder(number)
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {
        "number": number,
        "name": stage.name,
        "source": stage.train.source,
        "test": None if stage.test is None else stage.test.source,
        "rows": len(side.train),
        "held_out": len(side.held_out),
        "left_out": side.left_out,
        "folder": folder.name,
        "title": result["winner"]["title"],
        "recipe": result["winner"]["recipe"],
        "judged": any(rung["status"] == "judged" and rung["name"] not in PROMPTED for rung in result["ladder"]),
        "verdict": result["verdict"]["sentence"],
        "replay": result.get("replay"),
        "seconds": result["seconds"],
    }
