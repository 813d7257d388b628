"""Several files as several tasks of one tuning: their rows in one dataset, and who is of which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fewtune.data.base import Dataset
from fewtune.data.exchanges import check_exchanges
from fewtune.data.mixing import REPLAY_SHARE, TEMPERATURE, Mix, Replayed
from fewtune.errors import TaskError, UsageError


def join(
    tasks: Sequence[tuple[str, Dataset]],
    *,
    temperature: float = TEMPERATURE,
    replayed: Sequence[Replayed] = (),
    share: float = REPLAY_SHARE,
) -> tuple[Dataset, Mix]:
    """The rows of all tasks, one task behind the other, and the mix they are learnt in.

    Ids are made the tasks' own (`NAME/ID`); groups are not: what has one name in two files is taken for one thing.

    Parameters
    ----------
    tasks : (name, rows to write) of each; their rows must be of one kind.
    temperature : of the mixing (`data/mixing.py`).
    replayed, share : what is learnt again beside them, and how much of it.

    Raises
    ------
    DataError : what is wrong with a row, with its own file.
    TaskError : labelled rows, or prompts beside plain texts.
    UsageError : two tasks of one name.
    """
    kinds = {dataset.task for _, dataset in tasks}
    for _, dataset in tasks:
        if dataset.task not in ("generation", "language_modelling"):
            remedy = "Tune with one file of labels at a time, or read them with --task generation."
            raise TaskError("Several files at once are for models that write.", file=dataset.source, remedy=remedy)
        check_exchanges(dataset)
    if len(kinds) > 1:
        what = "Prompts with completions and plain texts cannot be tasks of one tuning."
        remedy = "Give the plain texts with --replay, or tune on them first: fewtune stages."
        raise TaskError(
            what, file=next(one.source for _, one in tasks if one.task == "language_modelling"), remedy=remedy
        )
    names = tuple(name for name, _ in tasks)
    if not names:
        raise UsageError("There is no task. Give one file or more.")
    of_row = tuple(place for place, (_, dataset) in enumerate(tasks) for _ in dataset)
    mix = Mix(names, of_row, temperature, tuple(replayed), share)
    examples = [
        replace(
            example, id=f"{name}/{example.id}", parent=None if example.parent is None else f"{name}/{example.parent}"
        )
        for name, dataset in tasks
        for example in dataset
    ]
    notes = [f"{name}: {note}" for name, dataset in tasks for note in dataset.notes]
    source = " + ".join(dataset.source for _, dataset in tasks)
    whole = replace(tasks[0][1], examples=tuple(examples), source=source, notes=tuple(notes))
    return whole, mix


def named(given: str) -> tuple[str, str]:
    """`NAME=FILE`, or a file whose name is the task's → (name, file)."""
    name, equals, path = given.partition("=")
    if equals and name.strip() and path.strip() and not Path(given).exists():
        return name.strip(), path.strip()
    return Path(given.replace(":", "-")).stem or "rows", given


__all__ = ["join", "named"]
