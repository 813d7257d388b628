"""What is tuned on, in which order: a plan, from files in a row or from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fewtune.data.base import Dataset, Task
from fewtune.data.mixing import REPLAY_SHARE
from fewtune.data.templates.base import PLAIN, Template
from fewtune.errors import DataError, UnreadableFile, UsageError
from fewtune.methods.registry import method_class
from fewtune.study.budget import parse
from fewtune.study.changes import change_of

EARLIER = "earlier"
"""The word for the rows of earlier stages, where something to replay is named."""
BESIDE_THE_WEIGHTS = ("prompt_tuning", "prefix_tuning", "p_tuning", "bottleneck")
"""What these learn stands beside the model's weights: no later stage could begin with it."""


@dataclass(frozen=True)
class Stage:
    """One tuning of several."""

    name: str
    train: Dataset
    test: Dataset | None = None
    """Scored after every stage; None: a share of `train` is set aside for it."""
    methods: tuple[str, ...] | None = None
    """None: the plan's."""
    changes: tuple[str, ...] = ()
    """Beside the plan's."""


@dataclass(frozen=True)
class Plan:
    """Stages, and what they share."""

    stages: tuple[Stage, ...]
    out: Path
    backbone: str = "default"
    """The first stage begins with it."""
    methods: tuple[str, ...] | None = None
    changes: tuple[str, ...] = ()
    budget: str | float | None = None
    """Of all stages; each is given an equal part."""
    folds: int | None = None
    repeats: int | None = None
    seed: int = 0
    template: Template = PLAIN
    executor: str = "auto"
    replay: tuple[str, ...] = ()
    """What each stage learns again: `earlier`, `general`, or a file."""
    replay_share: float = REPLAY_SHARE
    test_share: float = 0.2
    """Share of a stage's rows set aside to be scored, where it names no test file."""
    general: str | None = None
    """Probe prompts: scored after every stage, beside the general text that comes with fewtune."""

    def __post_init__(self) -> None:
        if len(self.stages) < 2:
            raise UsageError("Stages are two or more. For one tuning: fewtune fit.")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise UsageError(f"Two stages have the same name ({', '.join(names)}). Name them: NAME=FILE.")
        if not 0 < self.test_share < 1:
            raise UsageError(f"The share set aside to be scored is between 0 and 1, not {self.test_share:g}.")
        if not 0 < self.replay_share < 1:
            raise UsageError(f"The share that is replayed is between 0 and 1, not {self.replay_share:g}.")
        parse(self.budget)
        for number, stage in enumerate(self.stages, 1):
            if stage.train.task not in ("generation", "language_modelling"):
                raise UsageError(f"Stage {stage.name} has labelled rows. Stages are for models that write.")
            self._check_methods(stage, last=number == len(self.stages))

    def _check_methods(self, stage: Stage, *, last: bool) -> None:
        for name in self.methods_of(stage) or ():
            method_class(name, stage.train.task)
            if name in BESIDE_THE_WEIGHTS and not last:
                raise UsageError(
                    f"What {name} learns stands beside the model's weights, and no later stage could begin with it. "
                    f"Take another method for {stage.name}, or make it the last stage."
                )
        for said in self.changes_of(stage):
            change_of(said, stage.train.task)

    def methods_of(self, stage: Stage) -> tuple[str, ...] | None:
        """Its own, else the plan's."""
        return self.methods if stage.methods is None else stage.methods

    def changes_of(self, stage: Stage) -> tuple[str, ...]:
        """The plan's, then its own."""
        return (*self.changes, *stage.changes)

    def folder(self, number: int) -> Path:
        """Where stage `number`, counted from 1, lies."""
        letters = self.stages[number - 1].name
        name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in letters)
        return self.out / f"{number}-{name}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `stages.json`."""
        shared = ("backbone", "folds", "repeats", "seed", "executor", "replay_share", "test_share", "general")
        return {
            **{name: getattr(self, name) for name in shared},
            "methods": None if self.methods is None else list(self.methods),
            "changes": list(self.changes),
            "replay": list(self.replay),
            "template": self.template.to_json(),
            "stages": [
                {
                    "name": stage.name,
                    "train": stage.train.source,
                    "test": None if stage.test is None else stage.test.source,
                    "methods": None if stage.methods is None else list(stage.methods),
                    "changes": list(stage.changes),
                }
                for stage in self.stages
            ],
        }


@dataclass(frozen=True)
class _Keys:
    """What a table of a plan's file may hold: names, and the kind of each."""

    kinds: Mapping[str, tuple[type, ...]]
    where: str

    def read(self, table: Mapping[str, Any], file: Path) -> dict[str, Any]:
        """The table, once nothing in it is unknown. Raises DataError."""
        for name, value in table.items():
            if name not in self.kinds:
                known = ", ".join(self.kinds)
                raise DataError(f"{self.where} has the key {name!r}.", file=file, remedy=f"Known: {known}.")
            if not isinstance(value, self.kinds[name]) or isinstance(value, bool):
                words = " or ".join(kind.__name__ for kind in self.kinds[name])
                raise DataError(f"{name} of {self.where} is no {words}.", file=file, remedy="Write it as one.")
        return dict(table)


_SHARED = _Keys(
    {
        "backbone": (str,),
        "method": (str, list),
        "set": (str, list),
        "budget": (str, int, float),
        "folds": (int,),
        "repeats": (int,),
        "seed": (int,),
        "template": (str,),
        "replay": (str, list),
        "replay_share": (float,),
        "test_share": (float,),
        "probe_prompts": (str,),
        "stage": (list,),
    },
    "the plan",
)
_OF_STAGE = _Keys(
    {"name": (str,), "train": (str,), "test": (str,), "task": (str,), "method": (str, list), "set": (str, list)},
    "a stage",
)


@dataclass(frozen=True)
class Wished:
    """A plan's file as it was read, before any row is."""

    stages: tuple[dict[str, Any], ...]
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the stages; a file's where none is given."""
        return [str(stage.get("name") or Path(stage["train"]).stem) for stage in self.stages]


def read_plan(path: str | Path) -> Wished:
    """A TOML file: settings that all stages share, then a `[[stage]]` each. Files are looked for from its folder.

    Raises
    ------
    UnreadableFile : it is not there, or no TOML.
    DataError : a key nobody knows, or a value of another kind.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableFile(f"It cannot be read: {error.strerror}.", file=path, remedy="Check the path.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        remedy = "Write it as TOML, see docs/stages.md."
        raise UnreadableFile(f"It is no plan: {error}.", file=path, remedy=remedy) from error
    shared = _SHARED.read(table, path)
    stages = shared.pop("stage", [])
    if not stages or not all(isinstance(stage, dict) for stage in stages):
        remedy = "Write one for each tuning, with its train file."
        raise DataError("The plan has no [[stage]].", file=path, remedy=remedy)
    read = [_OF_STAGE.read(stage, path) for stage in stages]
    for number, stage in enumerate(read, 1):
        if "train" not in stage:
            raise DataError(f"Stage {number} names no train file.", file=path, remedy='Write train = "FILE".')
        for key in ("train", "test"):
            if key in stage and (path.parent / stage[key]).exists():
                stage[key] = str(path.parent / stage[key])
    if isinstance(shared.get("replay"), str):
        shared["replay"] = [shared["replay"]]
    return Wished(tuple(read), shared)


def wished(files: Sequence[str]) -> Wished:
    """Files in the order they are tuned on, or a plan's file."""
    from fewtune.data.tasks import named

    if len(files) == 1 and files[0].lower().endswith(".toml"):
        return read_plan(files[0])
    return Wished(tuple({"name": name, "train": path} for name, path in map(named, files)))


def stage_of(wish: Mapping[str, Any], test: str | None = None) -> Stage:
    """Its rows read. Raises DataError."""
    from fewtune.data.read import read_to_fit
    from fewtune.data.tasks import named

    task: Task | None = wish.get("task")
    train = read_to_fit(wish["train"], task=task)
    test = test or wish.get("test")
    held = None if test is None else read_to_fit(test, task=train.task, **_columns(train))
    methods = None if "method" not in wish else _listed(wish["method"])
    return Stage(wish.get("name") or named(wish["train"])[0], train, held, methods, _listed(wish.get("set", ())))


def _columns(train: Dataset) -> dict[str, Any]:
    return {"text": train.text_column} if train.task == "language_modelling" else {}


def _listed(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def sharing(plan: Plan, shared: Mapping[str, Any]) -> Plan:
    """The plan with what its file says all stages share."""
    from fewtune.data.templates.make import template_of

    told = {key: value for key, value in shared.items() if key not in ("method", "set", "probe_prompts", "template")}
    told |= {"replay": tuple(told["replay"])} if "replay" in told else {}
    told |= {"methods": _listed(shared["method"])} if "method" in shared else {}
    told |= {"changes": _listed(shared["set"])} if "set" in shared else {}
    told |= {"general": shared["probe_prompts"]} if "probe_prompts" in shared else {}
    told |= {"template": template_of(shared["template"])} if "template" in shared else {}
    return replace(plan, **told)
