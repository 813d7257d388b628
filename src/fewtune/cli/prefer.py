"""`fewtune prefer`: a second stage, from which of two answers is better."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtune.cli import options
from fewtune.cli.given import check_file, check_rows, command_line, names_of, result_folder
from fewtune.cli.groups import Judging, spread
from fewtune.cli.keeping import keep

if TYPE_CHECKING:
    from fewtune.cli.screen import Screen
    from fewtune.data.base import Dataset
    from fewtune.study.settings import Settings

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


@spread
def prefer(
    folder: Folder,
    preferences: Preferences,
    *,
    method: Methods = None,
    test: Test = None,
    probe_prompts: ProbePrompts = None,
    judging: Judging,
    template: options.Template = None,
    changes: Changes = None,
    out: Out = None,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Tune a model that writes by preferences, as a second stage; keep that only where it is better than the first."""
    from fewtune.cli.screen import screen
    from fewtune.data.preferences import read_preferences
    from fewtune.data.templates.make import template_of
    from fewtune.preferring import tuned_before
    from fewtune.study.settings import Settings

    check_rows(folder, called="FOLDER")
    check_rows(preferences, called="PREFERENCES")
    check_file(preferences, option="PREFERENCES")
    check_file(test, option="--test")
    check_file(probe_prompts, option="--probe-prompts")
    tuned_before((folder,))  # what no second stage can begin with is said before the rows are read
    written, drawn = result_folder(out, preferences, "prefer"), screen(quiet=quiet)
    dataset = read_preferences(preferences)
    drawn.notes(dataset)
    methods = names_of(method)
    with drawn:
        settings = Settings(
            backbones=(folder,),
            methods=tuple(methods) if methods else None,
            template=template_of(template),
            out=written,
            task="preference",
            changes=tuple(changes or ()),
            **judging.settings(),
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
    from fewtune.writer_folder import save_writer

    done = preferring.prefer(dataset, settings, general=general, progress=progress)
    done.result["command"] = command_line()
    save_writer(done.model, folder / "model")
    keep(done.result, folder, read_test=None if test is None else partial(preferring.read_test, done, test))
    return done.result
