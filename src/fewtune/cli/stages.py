"""`fewtune stages`: tune on one file after another, and see what each stage gave the others and took from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewtune.cli import options
from fewtune.cli.given import check_file, check_tests, command_line, joined, result_folder, time_to_spend
from fewtune.cli.groups import spread

if TYPE_CHECKING:
    from fewtune.staging import Plan, Stage

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


@dataclass(frozen=True)
class Shared:
    """What all stages share."""

    probe_prompts: ProbePrompts = None
    backbone: Backbone = "default"
    method: Methods = None
    changes: options.Changes = None
    replay: Replay = None
    replay_share: options.ReplayShare = 0.05
    budget: Budget = "30m"
    folds: options.Folds = None
    repeats: options.Repeats = None
    template: options.Template = None
    seed: options.Seed = 0
    executor: options.Executor = "auto"

    def check(self) -> None:
        """Raises UnreadableFile where a file is not there."""
        from fewtune.data.general import COMES_WITH
        from fewtune.staging.plan import EARLIER

        for source in self.replay or ():
            if source not in (EARLIER, COMES_WITH):
                check_file(source, option="--replay")
        check_file(self.probe_prompts, option="--probe-prompts")

    def plan(self, stages: Sequence[Stage], out: Path) -> Plan:
        """These and the stages as one value. Raises UsageError."""
        from fewtune.data.templates.make import template_of
        from fewtune.staging import Plan

        return Plan(
            stages=tuple(stages),
            out=out,
            backbone=self.backbone,
            methods=tuple(self.method) if self.method else None,
            changes=tuple(self.changes or ()),
            budget=time_to_spend(self.budget),
            folds=self.folds,
            repeats=self.repeats,
            seed=self.seed,
            template=template_of(self.template),
            executor=self.executor,
            replay=tuple(self.replay or ()),
            replay_share=self.replay_share,
            general=self.probe_prompts,
        )


@spread
def stages(
    files: Files,
    *,
    test: Test = None,
    shared: Shared,
    out: Out = None,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Tune a model that writes stage after stage, each from where the last one ended; score all after every stage.

    What is finished is kept: the same command goes on where it was stopped. What PLAN.toml says goes before options.
    """
    from fewtune.cli.screen import screen
    from fewtune.staging import run_stages
    from fewtune.staging.plan import sharing, stage_of, wished

    shared.check()
    wish = wished(files)
    if test:
        check_tests(test, wish.names)
    drawn, folder = screen(quiet=quiet), result_folder(out, joined(wish.names), "stages")
    read = [stage_of(one, test[place] if test else None) for place, one in enumerate(wish.stages)]
    for stage in read:
        drawn.notes(stage.train)
    plan = sharing(shared.plan(read, folder), wish.shared)
    with drawn:
        result = run_stages(plan, progress=drawn, command=command_line())
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        drawn.stages(result, folder, plan.folder(len(plan.stages)) / "model")
