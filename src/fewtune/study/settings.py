"""What a fit is told, checked before any work."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewtune.errors import UsageError
from fewtune.methods.registry import method_class
from fewtune.study.budget import parse


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
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if not 0 < self.abstain <= 1:
            raise UsageError(f"--abstain is a precision between 0 and 1, not {self.abstain}.")
        if self.folds is not None and self.folds < 2:
            raise UsageError(f"folds must be 2 or more, not {self.folds}.")
        if self.repeats is not None and self.repeats < 1:
            raise UsageError(f"repeats must be 1 or more, not {self.repeats}.")
        for name in self.methods or ():
            method_class(name)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `study.json`."""
        plain = {name: getattr(self, name) for name in ("folds", "repeats", "abstain", "seed")}
        return plain | {
            "backbones": list(self.backbones),
            "methods": None if self.methods is None else list(self.methods),
            "budget_seconds": parse(self.budget),
        }
