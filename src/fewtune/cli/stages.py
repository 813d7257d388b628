"""`fewtune stages`: tune on one file after another, and see what each stage gave the others and took from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fewtune.cli import options
from fewtune.cli.given import check_file, check_tests, command_line, joined, result_folder, time_to_spend

Files = Annotated[
    list[str], typer.Argument(help="Files in the order they are tuned on, each FILE or NAME=FILE; or one PLAN.toml.")
]
Test = Annotated[
    list[str] | None, typer.Option(help="Test files, one a stage; a share is set aside where none are given.")
]
Backbone = Annotated[str, typer.Option(help="Model folder or Hub name the first stage begins with.")]
Methods = Annotated[list[str] | None, typer.Option(help="Judge these methods only, in every stage.")]
Replay = Annotated[
    list[str] | None,
    typer.Option(help="What stages learn again: earlier (earlier stages' rows), general, or a file; may be repeated."),
]
ProbePrompts = Annotated[str | None, typer.Option(help="Prompts or texts scored after every stage, in no stage.")]
Budget = Annotated[str, typer.Option(help="Time to spend on all stages: 90s, 15m, 1h30m, or none.")]
Out = Annotated[Path | None, options.folder("Result folder", unless="runs/NAMES-stages")]
AsJson = Annotated[bool, options.printed("result.json")]


def stages(
    files: Files,
    test: Test = None,
    probe_prompts: ProbePrompts = None,
    backbone: Backbone = "default",
    method: Methods = None,
    changes: options.Changes = None,
    replay: Replay = None,
    replay_share: options.ReplayShare = 0.05,
    budget: Budget = "30m",
    folds: options.Folds = None,
    repeats: options.Repeats = None,
    template: options.Template = None,
    seed: options.Seed = 0,
    executor: options.Executor = "auto",
    out: Out = None,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Tune a model that writes stage after stage, each from where the last one ended; score all after every stage.

    What is finished is kept: the same command goes on where it was stopped. What PLAN.toml says goes before options.
    """
    from fewtune.cli.screen import screen
    from fewtune.data.templates.make import template_of
    from fewtune.staging import Plan, run_stages
    from fewtune.staging.plan import EARLIER, sharing, stage_of, wished

    for source in [one for one in replay or () if one not in (EARLIER, "general")]:
        check_file(source, option="--replay")
    check_file(probe_prompts, option="--probe-prompts")
    wish = wished(files)
    if test:
        check_tests(test, wish.names)
    drawn, folder = screen(quiet=quiet), result_folder(out, joined(wish.names), "stages")
    read = [stage_of(one, test[place] if test else None) for place, one in enumerate(wish.stages)]
    for stage in read:
        drawn.notes(stage.train)
    asked = Plan(
        stages=tuple(read),
        out=folder,
        backbone=backbone,
        methods=tuple(method) if method else None,
        changes=tuple(changes or ()),
        budget=time_to_spend(budget),
        folds=folds,
        repeats=repeats,
        seed=seed,
        template=template_of(template),
        executor=executor,
        replay=tuple(replay or ()),
        replay_share=replay_share,
        general=probe_prompts,
    )
    plan = sharing(asked, wish.shared)
    with drawn:
        result = run_stages(plan, progress=drawn, command=command_line())
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        drawn.stages(result, folder, plan.folder(len(plan.stages)) / "model")
