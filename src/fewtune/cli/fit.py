"""`fewtune fit`: from a small labelled file to a classifier you can believe."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtune.errors import UsageError

if TYPE_CHECKING:
    from fewtune.data.base import Dataset
    from fewtune.data.templates.base import Template

STARTED = time.perf_counter()
DEFAULT_BUDGET = "15m"


def fit(
    train: Annotated[str, typer.Argument(help="CSV, TSV, JSON, JSON lines, Parquet, Excel, or a Hub dataset name.")],
    text: Annotated[str | None, typer.Option(help="Text column; found by itself when not named.")] = None,
    label: Annotated[str | None, typer.Option(help="Label column; found by itself when not named.")] = None,
    group: Annotated[str | None, typer.Option(help="Column of what may never be split across folds.")] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="Column to join to the text, such as a body to a subject; may be repeated.")
    ] = None,
    unlabelled: Annotated[str | None, typer.Option(help="File of texts without labels, to learn from.")] = None,
    test: Annotated[str | None, typer.Option(help="Labelled file, read once, at the very end.")] = None,
    backbone: Annotated[
        list[str] | None, typer.Option(help="Encoder folder or Hub name; several are rungs, smallest first.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Judge these methods only, and what they are held against (majority, probe)."),
    ] = None,
    budget: Annotated[str, typer.Option(help="Time to spend: 90s, 15m, 1h30m, or none.")] = DEFAULT_BUDGET,
    folds: Annotated[int | None, typer.Option(help="Cross-validation folds; chosen by size when not given.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Times the folds are dealt anew.")] = None,
    splits: Annotated[Path | None, typer.Option(help="Judge on exactly the splits that `fewtune split` wrote.")] = None,
    template: Annotated[
        str | None, typer.Option(help="JSON file of a template, or a layout: plain, instruction, alpaca, chatml, chat.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help='Put before each text, such as "query: ".')] = None,
    words: Annotated[Path | None, typer.Option(help="JSON or CSV file: what each class is called in words.")] = None,
    abstain: Annotated[float, typer.Option(help="Precision that answers kept should reach, for the threshold.")] = 0.9,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    executor: Annotated[
        str, typer.Option(help="Who carries out the runs: auto, serial, forked, stacked or ray.")
    ] = "auto",
    ray_address: Annotated[
        str | None, typer.Option(help="HOST:PORT of a Ray cluster this machine belongs to, or auto.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Result folder; runs/NAME when not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Fit a text classifier: judge every method on the same resamples, keep the one that earns its place."""
    from fewtune.cli.screen import screen
    from fewtune.data.read import read, read_like
    from fewtune.data.templates.make import template_of

    if not train.strip():
        raise UsageError("TRAIN is empty. Give a file or a Hub dataset name.")
    if out is not None and str(out) in ("", "."):
        raise UsageError("--out names no folder of its own. Give a new one, such as runs/tickets.")
    drawn = screen(quiet=quiet)
    dataset = read(train, text=text, label=label, group=group, pair=pair)
    drawn.notes(dataset)
    # The text column of the training file is looked for first, then whatever the other file calls it.
    pool = None if unlabelled is None else read_like(dataset, unlabelled, labelled=False)
    folder = out or Path("runs") / default_name(train)
    check_test(test)
    with drawn:
        result = run(
            dataset,
            pool,
            test,
            folder,
            backbones=backbone,
            methods=method,
            budget=None if budget.lower() == "none" else budget,
            folds=folds,
            repeats=repeats,
            splits=splits,
            template=template_of(template, prefix=prefix, words=words),
            abstain=abstain,
            seed=seed,
            executor=executor,
            ray_address=ray_address,
            progress=drawn,
        )
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        drawn.result(result, folder)


def run(
    dataset: Dataset,
    pool: Dataset | None,
    test: str | None,
    folder: Path,
    *,
    backbones: list[str] | None,
    methods: list[str] | None,
    budget: str | None,
    folds: int | None,
    repeats: int | None,
    splits: Path | None,
    template: Template,
    abstain: float,
    seed: int,
    executor: str,
    ray_address: str | None,
    progress: Any,
) -> dict[str, Any]:
    """Fit, save the model, score the test file, write result and page."""
    from fewtune import fitting, model_folder
    from fewtune.audit.leaks import group_column
    from fewtune.data.read import read_like
    from fewtune.report.html import write_report
    from fewtune.report.result import finish, read_test
    from fewtune.study.budget import Budget
    from fewtune.study.settings import Settings
    from fewtune.study.store import write_json

    settings = Settings(
        backbones=tuple(backbones or ("default",)),
        methods=tuple(methods) if methods else None,
        budget=budget,
        folds=folds,
        repeats=repeats,
        splits=splits,
        template=template,
        abstain=abstain,
        seed=seed,
        executor=executor,
        ray_address=ray_address,
        out=folder,
        started=STARTED,
    )
    done = fitting.fit(
        dataset,
        settings,
        unlabelled=tuple(pool.texts) if pool else (),
        unlabelled_source=pool.source if pool else None,
        progress=progress,
    )
    done.result["command"] = shlex.join(["fewtune", *sys.argv[1:]])
    model_folder.save(done.model, done.encoder, folder / "model")
    if test is not None:
        # What was fitted stands before the test file is looked at: whatever is wrong with it costs no work.
        write_json(folder / "result.json", done.result)
        held = read_like(dataset, test, labelled=True, group=group_column(dataset))
        read_test(done.result, done.model, done.ground, held)
        finish(done.result, done.climb, Budget(done.result["budget_seconds"], started=STARTED))
    write_json(folder / "result.json", done.result)
    write_report(folder)
    return done.result


def check_test(test: str | None, *, option: str = "--test") -> None:
    """A file that is not there is said before the work, not after; its rows are not looked at."""
    from fewtune.data.read import SUFFIXES
    from fewtune.data.readers.hub import is_hub_name
    from fewtune.errors import UnreadableFile

    if test is None or Path(test).exists():
        return
    if Path(test).suffix.lower() in SUFFIXES or not is_hub_name(test):
        raise UnreadableFile("There is no such file.", file=test, remedy=f"Check the path given with {option}.")


def default_name(train: str) -> str:
    """The result folder's name for a training file."""
    return Path(train.replace(":", "-")).stem or "fit"
