"""`fewtune fit`: from a small labelled file to a classifier you can believe."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtune.cli import options
from fewtune.cli.given import (
    called,
    check_file,
    check_replay,
    check_rows,
    check_tests,
    read_tasks,
    result_folder,
    time_to_spend,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fewtune.cli.screen import Screen
    from fewtune.data.base import Dataset
    from fewtune.data.mixing import Mix
    from fewtune.fitting import Fit
    from fewtune.study.settings import Settings

STARTED = time.perf_counter()
DEFAULT_BUDGET = "15m"

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
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of a method, such as lora.rank=64; may be repeated.")
]
ProbePrompts = Annotated[
    str | None,
    typer.Option(help="Prompts or texts that a model that writes should not forget; scored before and after."),
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


def fit(
    train: Train,
    text: options.Text = None,
    label: options.Label = None,
    group: options.Group = None,
    pair: options.Pair = None,
    unlabelled: options.Unlabelled = None,
    test: Test = None,
    probe_prompts: ProbePrompts = None,
    replay: options.Replay = None,
    replay_share: options.ReplayShare = 0.05,
    temperature: options.Temperature = 2.0,
    backbone: Backbones = None,
    method: Methods = None,
    budget: options.Budget = DEFAULT_BUDGET,
    folds: options.Folds = None,
    repeats: options.Repeats = None,
    splits: options.Splits = None,
    template: options.Template = None,
    prefix: Prefix = None,
    words: options.Words = None,
    abstain: Abstain = 0.9,
    task: options.Task = None,
    changes: Changes = None,
    seed: options.Seed = 0,
    executor: options.Executor = "auto",
    ray_address: options.RayAddress = None,
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
    columns = {"text": text, "label": label, "group": group, "pair": pair, "task": task}
    check_file(probe_prompts, option="--probe-prompts")
    check_replay(replay)
    dataset, pool, mix = read_tasks(
        drawn,
        train,
        unlabelled,
        columns,
        temperature=temperature,
        replay=replay,
        share=replay_share,
        probes=probe_prompts,
    )
    with drawn:
        settings = Settings(
            backbones=tuple(backbone or ("default",)),
            methods=tuple(method) if method else None,
            budget=time_to_spend(budget),
            folds=folds,
            repeats=repeats,
            splits=splits,
            template=template_of(template, prefix=prefix, words=words),
            abstain=abstain,
            seed=seed,
            executor=executor,
            ray_address=ray_address,
            processes=processes,
            thrift=Thrift(micro_batch, gradient_checkpointing),
            out=folder,
            task=dataset.task,
            changes=tuple(changes or ()),
            started=STARTED,
        )
        result = run(dataset, pool, test or [], settings, folder, drawn, general=probe_prompts, mix=mix)
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
    from fewtune.audit.leaks import group_column
    from fewtune.data.read import read_like
    from fewtune.report.html import write_report
    from fewtune.report.result import finish, read_test
    from fewtune.study.budget import Budget
    from fewtune.study.store import write_json
    from fewtune.writer_folder import WritingModel

    done = fitting.fit(
        dataset,
        settings,
        unlabelled=tuple(pool.texts) if pool else (),
        unlabelled_source=pool.source if pool else None,
        general=general,
        mix=mix,
        progress=progress,
    )
    done.result["command"] = shlex.join(["fewtune", *sys.argv[1:]])
    if isinstance(done.model, WritingModel):
        learnt = dataset if mix is None else dataset.replace(examples=[*dataset, *mix.replay])
        return finish_writing(done, test, learnt, folder)
    model_folder.save(done.model, done.encoder, folder / "model")
    if test:
        # What was fitted stands before the test file is looked at: whatever is wrong with it costs no work.
        write_json(folder / "result.json", done.result)
        held = read_like(dataset, test[0], labelled=True, group=group_column(dataset))
        read_test(done.result, done.model, done.ground, held)
        finish(done.result, done.climb, Budget(done.result["budget_seconds"], started=STARTED))
    write_json(folder / "result.json", done.result)
    write_report(folder)
    return done.result


def finish_writing(done: Fit, test: Sequence[str], dataset: Dataset, folder: Path) -> dict[str, Any]:
    """As `run` ends, of a model that writes; `dataset` holds what was replayed too, which may not be in a test file."""
    from fewtune.data.read import read_to_fit
    from fewtune.report.html import write_report
    from fewtune.report.tasks import read_task_tests, say_who_is_hurt
    from fewtune.report.written import finish_written, read_written_test
    from fewtune.study.budget import Budget
    from fewtune.study.store import write_json
    from fewtune.writer_folder import WritingModel, save_writer

    assert isinstance(done.model, WritingModel)
    save_writer(done.model, folder / "model")
    if test:
        write_json(folder / "result.json", done.result)
        columns = {"text": dataset.text_column} if dataset.task == "language_modelling" else {}
        held = [read_to_fit(file, task=dataset.task, **columns) for file in test]
        tasks = done.result.get("tasks")
        if tasks:
            read_task_tests(
                done.result, done.model, dataset, [(t["name"], h) for t, h in zip(tasks, held, strict=True)]
            )
        else:
            read_written_test(done.result, done.model, dataset, held[0])
        finish_written(done.result, done.climb, Budget(done.result["budget_seconds"], started=STARTED))
        if tasks:
            say_who_is_hurt(done.result)
    write_json(folder / "result.json", done.result)
    write_report(folder)
    return done.result
