"""`fewtune fit`: from a small labelled file to a classifier you can believe."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtune.cli import options
from fewtune.cli.given import called, check_rows, check_tests, command_line, read_tasks, result_folder
from fewtune.cli.groups import Beside, Columns, Judging, spread
from fewtune.cli.keeping import keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fewtune.cli.screen import Screen
    from fewtune.data.base import Dataset
    from fewtune.data.mixing import Mix
    from fewtune.fitting import Fit
    from fewtune.model_folder import Model
    from fewtune.study.settings import Settings
    from fewtune.writer_folder import WritingModel

# Options of this command alone.
Train = Annotated[
    list[str],
    typer.Argument(
        help="CSV, TSV, JSON, JSON lines, Parquet, Excel, or a Hub dataset name. Several, each FILE or NAME=FILE, are "
        "tasks of one model that writes."
    ),
]
Test = Annotated[
    list[str] | None,
    typer.Option(help="Labelled file, read once, at the very end; of several tasks one each, in their order."),
]
Backbones = Annotated[
    list[str] | None,
    typer.Option(help="Model folder or Hub name, default or starter; several are rungs, smallest first."),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(help="Judge these methods only, and what they are held against."),
]
Processes = Annotated[
    int | None, typer.Option(help="Share a model that writes among so many GPUs, or processes of a CPU.")
]
MicroBatch = Annotated[
    int | None, typer.Option(help="Rows a model that writes is trained on at a time; as many as fit when not given.")
]
Checkpointing = Annotated[
    bool | None,
    typer.Option(help="Compute layers again on the way back, to save memory; only where nothing else fits."),
]
Prefix = Annotated[str | None, typer.Option(help='Put before each text, such as "query: ".')]
Abstain = Annotated[float, typer.Option(help="Precision that answers kept should reach, for the threshold.")]
Out = Annotated[Path | None, options.folder("Result folder", unless="runs/NAME")]
AsJson = Annotated[bool, options.printed("result.json")]


@spread
def fit(
    train: Train,
    *,
    columns: Columns,
    unlabelled: options.Unlabelled = None,
    test: Test = None,
    beside: Beside,
    backbone: Backbones = None,
    method: Methods = None,
    judging: Judging,
    template: options.Template = None,
    prefix: Prefix = None,
    words: options.Words = None,
    abstain: Abstain = 0.9,
    task: options.Task = None,
    changes: options.Changes = None,
    processes: Processes = None,
    micro_batch: MicroBatch = None,
    gradient_checkpointing: Checkpointing = None,
    out: Out = None,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit a text classifier, or tune a model that writes: judge every method on the same resamples, keep the best.

    Rows with a label are classes; prompts with completions, conversations and plain texts are written.
    """
    from fewtune.cli.screen import screen
    from fewtune.data.templates.make import template_of
    from fewtune.study.settings import Settings
    from fewtune.tune.thrift import Thrift

    for file in train:
        check_rows(file, called="TRAIN")
    check_tests(test or [], train)
    folder, drawn = result_folder(out, called(train)), screen(quiet=quiet)
    beside.check()
    dataset, pool, mix = read_tasks(drawn, train, columns, unlabelled, beside, task=task)
    with drawn:
        settings = Settings(
            backbones=tuple(backbone or ("default",)),
            methods=tuple(method) if method else None,
            template=template_of(template, prefix=prefix, words=words),
            abstain=abstain,
            processes=processes,
            thrift=Thrift(micro_batch, gradient_checkpointing),
            out=folder,
            task=dataset.task,
            changes=tuple(changes or ()),
            **judging.settings(),
        )
        result = run(dataset, pool, test or [], settings, folder, drawn, general=beside.probe_prompts, mix=mix)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        drawn.result(result, folder)


def run(
    dataset: Dataset,
    pool: Dataset | None,
    test: Sequence[str],
    settings: Settings,
    folder: Path,
    progress: Screen,
    *,
    general: str | None = None,
    mix: Mix | None = None,
) -> dict[str, Any]:
    """Fit, save the model, score the test file, write result and page."""
    from fewtune import fitting, model_folder
    from fewtune.writer_folder import WritingModel, save_writer

    done = fitting.fit(
        dataset,
        settings,
        unlabelled=pool,
        general=general,
        mix=mix,
        progress=progress,
    )
    done.result["command"] = command_line()
    if isinstance(done.model, WritingModel):
        save_writer(done.model, folder / "model")
        # What was replayed may not be in a test file either.
        learnt = dataset if mix is None else dataset.replace(examples=[*dataset, *mix.replay])
        read = partial(read_to_write, done, done.model, test, learnt)
    else:
        model_folder.save(done.model, done.encoder, folder / "model")
        read = partial(read_to_classify, done, done.model, test, dataset)
    keep(done.result, folder, read_test=read if test else None)
    return done.result


def read_to_classify(done: Fit, model: Model, test: Sequence[str], dataset: Dataset) -> None:
    """Score the one test file."""
    from fewtune.audit.leaks import group_column
    from fewtune.data.read import read_like
    from fewtune.errors import ColumnError
    from fewtune.report.result import finish, read_test

    try:
        held = read_like(dataset, test[0], labelled=True, group=group_column(dataset))
    except ColumnError as error:
        names = " and ".join(repr(name) for name in (dataset.text_column, dataset.label_column))
        remedy = f"{error.remedy} Call its columns as in the training file: {names}."
        raise ColumnError(error.what, file=error.file, remedy=remedy) from error
    for note in read_test(done.result, model, done.ground, held)["notes"]:
        if "left out" in note:
            typer.echo(f"{held.source}: {note}", err=True)
    finish(done.result, done.climb, done.budget)


def read_to_write(done: Fit, model: WritingModel, test: Sequence[str], dataset: Dataset) -> None:
    """Score the test file of each task, or the one there is; `dataset` is all that was learnt."""
    from fewtune.data.read import read_to_fit
    from fewtune.report.tasks import read_task_tests, say_who_is_hurt
    from fewtune.report.written import finish_written, read_written_test

    columns = {"text": dataset.text_column} if dataset.task == "language_modelling" else {}
    held = [read_to_fit(file, task=dataset.task, **columns) for file in test]
    tasks = done.result.get("tasks")
    if tasks:
        read_task_tests(done.result, model, dataset, [(t["name"], h) for t, h in zip(tasks, held, strict=True)])
    else:
        read_written_test(done.result, model, dataset, held[0])
    finish_written(done.result, done.climb, done.budget)
    if tasks:
        say_who_is_hurt(done.result)
