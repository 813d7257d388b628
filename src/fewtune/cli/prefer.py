"""`fewtune prefer`: a second stage, from which of two answers is better."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtune.cli import options
from fewtune.cli.given import check_file, check_rows, names_of, result_folder, time_to_spend

if TYPE_CHECKING:
    from fewtune.cli.screen import Screen
    from fewtune.data.base import Dataset
    from fewtune.study.settings import Settings

STARTED = time.perf_counter()
DEFAULT_BUDGET = "15m"

# Options of this command alone.
Folder = Annotated[str, typer.Argument(help="Folder of a fit of a model that writes; a model folder or Hub name too.")]
Preferences = Annotated[
    str,
    typer.Argument(help="Rows of prompt, chosen and rejected, or of prompt, completion and label; marks of the page."),
]
Methods = Annotated[
    list[str] | None, typer.Option(help="dpo, orpo or kto; several, or none for all that can learn from the rows.")
]
Test = Annotated[str | None, typer.Option(help="File of preferences, read once, at the very end.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of a method, such as dpo.beta=0.3; may be repeated.")
]
ProbePrompts = Annotated[
    str | None, typer.Option(help="File of what it should not forget: prompts with completions, or texts.")
]
Out = Annotated[Path | None, options.folder("Result folder", unless="runs/NAME-prefer")]
AsJson = Annotated[bool, options.printed("result.json")]


def prefer(
    folder: Folder,
    preferences: Preferences,
    method: Methods = None,
    test: Test = None,
    probe_prompts: ProbePrompts = None,
    budget: options.Budget = DEFAULT_BUDGET,
    folds: options.Folds = None,
    repeats: options.Repeats = None,
    splits: options.Splits = None,
    template: options.Template = None,
    changes: Changes = None,
    seed: options.Seed = 0,
    executor: options.Executor = "auto",
    ray_address: options.RayAddress = None,
    out: Out = None,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Tune a model that writes by preferences, as a second stage; keep that only where it is better than the first."""
    from fewtune.cli.screen import screen
    from fewtune.data.preferences import read_preferences
    from fewtune.data.templates.make import template_of
    from fewtune.preferring import starting
    from fewtune.study.settings import Settings

    check_rows(folder, called="FOLDER")
    check_rows(preferences, called="PREFERENCES")
    check_file(preferences, option="PREFERENCES")
    check_file(test, option="--test")
    check_file(probe_prompts, option="--probe-prompts")
    starting((folder,))
    written, drawn = result_folder(out, preferences, "prefer"), screen(quiet=quiet)
    dataset = read_preferences(preferences)
    drawn.notes(dataset)
    methods = names_of(method)
    with drawn:
        settings = Settings(
            backbones=(folder,),
            methods=tuple(methods) if methods else None,
            budget=time_to_spend(budget),
            folds=folds,
            repeats=repeats,
            splits=splits,
            template=template_of(template),
            seed=seed,
            executor=executor,
            ray_address=ray_address,
            out=written,
            task="preference",
            changes=tuple(changes or ()),
            started=STARTED,
        )
        result = run(dataset, test, settings, written, drawn, general=probe_prompts)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        drawn.result(result, written)


def run(
    dataset: Dataset, test: str | None, settings: Settings, folder: Path, progress: Screen, *, general: str | None
) -> dict[str, Any]:
    """Tune, save the model, score the test file, write result and page."""
    from fewtune import preferring
    from fewtune.report.html import write_report
    from fewtune.study.store import write_json
    from fewtune.writer_folder import save_writer

    done = preferring.prefer(dataset, settings, general=general, progress=progress)
    done.result["command"] = shlex.join(["fewtune", *sys.argv[1:]])
    save_writer(done.model, folder / "model")
    if test is not None:
        # What was tuned stands before the test file is looked at: whatever is wrong with it costs no work.
        write_json(folder / "result.json", done.result)
        preferring.read_test(done, test)
    write_json(folder / "result.json", done.result)
    write_report(folder)
    return done.result
