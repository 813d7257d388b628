"""What a fit is told, checked before any work."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewtune.data.base import Task
from fewtune.data.templates.base import PLAIN, Template
from fewtune.errors import UsageError
from fewtune.methods.registry import method_class
from fewtune.seeds import check_seed
from fewtune.study.budget import parse
from fewtune.study.changes import change_of
from fewtune.tune.executors.registry import AUTO, check_executor
from fewtune.tune.thrift import Thrift

if TYPE_CHECKING:
    from fewtune.tune.executors.base import Executor


@dataclass(frozen=True)
class Settings:
    """What a fit is told."""

    backbones: tuple[str, ...] = ("default",)
    methods: tuple[str, ...] | None = None
    budget: str | float | None = None
    folds: int | None = None
    repeats: int | None = None
    abstain: float = 0.9
    seed: int = 0
    out: Path | None = None
    splits: Any = None
    """Splits to judge on in place of those that would be drawn: a path to `splits.json`, a `SplitFile`, `Split`s, or
    (train, test) pairs of row indices."""
    template: Template = PLAIN
    """How an example is put to the backbone."""
    executor: str | Executor = AUTO
    """Who carries out the runs, by name, or one made elsewhere, which is left open; it changes no result."""
    ray_address: str | None = None
    """A Ray cluster's, for the executor `ray`."""
    processes: int | None = None
    """How many share the weights of a model that writes, where it is larger than one GPU; it changes no result."""
    thrift: Thrift = field(default_factory=Thrift)
    """How the steps of a model that writes are made to fit memory; it changes no result."""
    task: Task = "classification"
    """What the rows are for; methods are those of the task."""
    changes: tuple[str, ...] = ()
    """Settings of methods in place of their defaults, like `lora.rank=64`."""
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if not 0 < self.abstain <= 1:
            raise UsageError(f"--abstain is a precision between 0 and 1, not {self.abstain}.")
        _whole("folds", self.folds, least=2)
        _whole("repeats", self.repeats, least=1)
        check_seed(self.seed)
        _whole("processes", self.processes, least=1)
        self._check_size()
        if self.splits is not None and (self.folds or self.repeats):
            raise UsageError("The splits are given: leave out folds and repeats.")
        for name in self.methods or ():
            method_class(name, self.task)
        for said in self.changes:
            change_of(said, self.task)
        if isinstance(self.executor, str):
            check_executor(self.executor, self.ray_address)
        parse(self.budget)

    def _check_size(self) -> None:
        """What is for large models is for those that write."""
        if self.task == "classification" and (self.processes or self.thrift.asked):
            raise UsageError(
                "--processes, --micro-batch and --gradient-checkpointing are for models that write, which may be "
                "large. Encoders are small: leave them out."
            )
        if self.processes and self.executor != AUTO:
            raise UsageError("With --processes one run is worked on at a time, by all of them: leave out --executor.")

    def check_out(self) -> None:
        """Raises UsageError when `out` holds files that are not a fit's: they could be overwritten."""
        if self.out is None or not self.out.is_dir():
            return
        found = {path.name for path in self.out.iterdir() if not path.name.startswith(".")}
        if found - {"arrays", "audit.json", "audit.html"} and not _is_study(self.out / "study.json"):
            raise UsageError(f"{self.out} holds files that no fit wrote ({min(found)}). Name a new folder with --out.")

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `study.json`."""
        plain = {name: getattr(self, name) for name in ("folds", "repeats", "abstain", "seed")}
        if self.task != "classification":
            plain["task"] = self.task
        if self.changes:
            plain["changes"] = list(self.changes)
        return plain | {
            "backbones": list(self.backbones),
            "methods": None if self.methods is None else list(self.methods),
            "budget_seconds": parse(self.budget),
            "splits": None if self.splits is None else _named(self.splits),
            "template": self.template.to_json(),
            "executor": self.executor if isinstance(self.executor, str) else type(self.executor).__name__,
        }


def _named(splits: Any) -> str:
    return str(splits) if isinstance(splits, str | Path) else getattr(splits, "path", "") or "given"


def _whole(name: str, value: Any, *, least: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} must be a whole number, {least} or more, not {value!r}.")


def _is_study(path: Path) -> bool:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(plain, dict) and "backbones" in plain and "seed" in plain
