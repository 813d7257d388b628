"""What was typed → what is meant; what cannot be meant is said before any work."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fewtune.errors import UnreadableFile, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fewtune.cli.groups import Beside, Columns
    from fewtune.cli.screen import Screen
    from fewtune.data.base import Dataset, Task
    from fewtune.data.mixing import Mix


def command_line() -> str:
    """The command as it was typed."""
    return shlex.join(["fewtune", *sys.argv[1:]])


def check_rows(source: str, *, called: str = "FILE") -> None:
    """Raises UsageError where the rows are named by nothing."""
    if not source.strip():
        raise UsageError(f"{called} is empty. Give a file or a Hub dataset name.")


def check_file(source: str | None, *, option: str) -> None:
    """A file that is not there is said before the work, not after; its rows are not looked at."""
    from fewtune.data.read import SUFFIXES
    from fewtune.data.readers.hub import is_hub_name

    if source is None or Path(source).exists():
        return
    if Path(source).suffix.lower() in SUFFIXES or not is_hub_name(source):
        raise UnreadableFile("There is no such file.", file=source, remedy=f"Check the path given with {option}.")


def name_of(source: str) -> str:
    """What to call a folder of results from these rows: the file's name, the last part of a Hub name."""
    return Path(source.replace(":", "-")).stem or "rows"


def result_folder(out: Path | None, source: str, kind: str = "") -> Path:
    """The folder named by --out, else runs/NAME, or runs/NAME-KIND. Raises UsageError where --out names none."""
    ending = f"-{kind}" if kind else ""
    if out is not None and str(out) in ("", "."):
        raise UsageError(f"--out names no folder of its own. Give a new one, such as runs/tickets{ending}.")
    return out or Path("runs") / f"{name_of(source)}{ending}"


def time_to_spend(budget: str) -> str | None:
    """A budget; None where it is `none`."""
    return None if budget.lower() == "none" else budget


def names_of(given: list[str] | None) -> list[str] | None:
    """Names however they were put, `a,b` or given twice; None where the option was not."""
    return None if given is None else [name for part in given for name in part.split(",")]


def task_named(given: str | None) -> Task | None:
    """A task by its name, hyphens and the short `lm` forgiven. Raises UsageError."""
    tasks: dict[str, Task] = {
        "classification": "classification",
        "generation": "generation",
        "language_modelling": "language_modelling",
        "language_modeling": "language_modelling",
        "lm": "language_modelling",
    }
    if given is None:
        return None
    name = given.strip().lower().replace("-", "_").replace(" ", "_")
    if name not in tasks:
        raise UsageError(f"There is no task {given!r}. Known: classification, generation, language_modelling.")
    return tasks[name]


def read_rows(
    drawn: Screen,
    source: str,
    columns: Columns,
    unlabelled: str | None = None,
    *,
    task: str | None = None,
) -> tuple[Dataset, Dataset | None]:
    """Rows to learn from, told as they are read, and texts without labels where a file of them is given."""
    from fewtune.data.read import read_like, read_to_fit

    dataset = read_to_fit(source, **vars(columns), task=task_named(task))
    drawn.notes(dataset)
    # The text column of the training file is looked for first, then whatever the other file calls it.
    return dataset, None if unlabelled is None else read_like(dataset, unlabelled, labelled=False)


def called(train: list[str]) -> str:
    """What the results of several files are called after: the file, or the names of all tasks."""
    from fewtune.data.tasks import named

    return train[0] if len(train) == 1 else joined(named(file)[0] for file in train)


def joined(names: Iterable[str]) -> str:
    """One file's name for several."""
    return "+".join(names).replace("/", "-") + ".jsonl"


def check_tests(tests: list[str], train: list[str]) -> None:
    """Raises UsageError where there are not as many test files as tasks, UnreadableFile where one is not there."""
    if tests and len(tests) != len(train):
        raise UsageError(
            f"There are {len(tests)} test files for {len(train)} of rows. Give --test once for each, or never."
        )
    for file in tests:
        check_file(file, option="--test")


def read_tasks(
    drawn: Screen, train: list[str], columns: Columns, unlabelled: str | None, beside: Beside, *, task: str | None
) -> tuple[Dataset, Dataset | None, Mix | None]:
    """Rows to learn from, one file or several, with what is learnt beside them."""
    from fewtune.data.mixing import Mix
    from fewtune.data.tasks import join, named

    replayed = beside.read()
    if len(train) == 1:
        dataset, pool = read_rows(drawn, train[0], columns, unlabelled, task=task)
        mix = Mix(replayed=replayed, share=beside.replay_share, temperature=beside.temperature)
        return dataset, pool, mix if replayed else None
    if unlabelled is not None:
        raise UsageError("--unlabelled is for one file of labelled rows.")
    read = [(name, read_rows(drawn, file, columns, task=task)[0]) for name, file in map(named, train)]
    whole, mix = join(read, temperature=beside.temperature, replayed=replayed, share=beside.replay_share)
    return whole, None, mix


def read_asked(source: str, *, text: str | None, pair: list[str] | None = None) -> Dataset:
    """Rows to be answered, with what was chosen on the way; where they are a locked test set, that is recorded."""
    from fewtune.data.read import read
    from fewtune.data.test_lock import record

    dataset = read(source, text=text, pair=pair, labelled=False)
    for note in dataset.notes:
        typer.echo(f"  · {note}", err=True)
    reading = record(dataset, purpose="predicted", command=command_line())
    if reading is not None:
        typer.echo(reading.sentence, err=True)
    return dataset


def typed(hint: str) -> str:
    """All of standard input; with a hint, a person at a terminal is told what to do."""
    if hint and sys.stdin.isatty():
        typer.echo(f"{hint}; end with Ctrl-D.", err=True)
    return sys.stdin.buffer.read().decode("utf-8", "replace")


def refuse_input(out: Path, given: list[str]) -> None:
    """Raises UsageError when the answer would replace the file that is asked about."""
    for name in given:
        if is_file(name) and out.exists() and Path(name).exists() and out.samefile(name):
            raise UsageError(f"--out {out} is the file that is read: its columns would be lost. Name another.")


def is_file(text: str, *, there: bool = False) -> bool:
    """Whether one argument is meant as a file: it is there, or is one word that ends as files of rows do."""
    from fewtune.data.read import SUFFIXES

    if not text.strip():
        return False
    try:
        if Path(text).exists() or there:
            return Path(text).exists()
        return Path(text).suffix.lower() in SUFFIXES and not any(map(str.isspace, text))
    except (OSError, ValueError):  # a long text is no file name
        return False
