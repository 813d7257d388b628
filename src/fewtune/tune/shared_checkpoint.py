"""The checkpoint of a run whose weights several processes share: the same file, written and read by the one that leads.

What the file holds is whole, so that a run may go on in another number of processes than it began in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fewtune.backbones.language.sharded import gathered, put
from fewtune.backbones.team import Team
from fewtune.tune.checkpoint import MOMENTS, Checkpoint, parameters, random_streams, set_random_streams

if TYPE_CHECKING:
    from fewtune.tune.course import Course


class SharedCheckpoint(Checkpoint):
    """The file of one run of a team.

    Parameters
    ----------
    path : None keeps nothing; read and written by the process that leads.
    """

    def __init__(self, path: Path | None, team: Team) -> None:
        self.team = team
        super().__init__(path if team.leads else None)
        self._plain: dict[str, Any] = team.agree(self._plain)
        self._keeps: bool = team.agree(path is not None)

    def due(self) -> bool:
        """As the one that leads finds."""
        return self._keeps and bool(self.team.agree(super().due()))

    def resume(self, course: Course, optimiser: torch.optim.Optimizer) -> None:
        """Every process takes its part of what is read."""
        if not self._plain or self.attempt != course.attempt.number:
            return
        names: set[str] = self.team.agree(set(self._tensors))
        for number, parameter in enumerate(parameters(optimiser)):
            put(parameter, self._tensors.get(f"weight.{number}"), self.team)
            for name in MOMENTS:
                if f"{name}.{number}" in names:
                    optimiser.state[parameter][name] = self._moment(name, number, parameter)
        best = course.tunable.state() if any(name.startswith("best.") for name in names) else {}
        for name, tensor in best.items():
            put(tensor, self._tensors.get(f"best.{name}"), self.team)
        course.load_state(self._plain["course"], best or None)
        self.set_own_stream(course)
        streams = {name: tensor for name, tensor in self._tensors.items() if name.startswith("rng")}
        set_random_streams(self.team.agree(streams), f".{self.team.rank}" if self.team.rank else "")
        self._tensors, self._plain = {}, {}

    def _moment(self, name: str, number: int, parameter: torch.Tensor) -> torch.Tensor:
        stored = self._tensors.get(f"{name}.{number}")
        if name == "step":  # one number, the same everywhere
            step: torch.Tensor = self.team.agree(stored)
            return step
        found = torch.zeros_like(parameter)
        put(found, stored, self.team)
        return found

    def write(self, course: Course, optimiser: torch.optim.Optimizer) -> None:
        """Gather everything, and write it where it is led from."""
        own = random_streams(f".{self.team.rank}" if self.team.rank else "")
        streams = {name: tensor for found in self.team.collect(own) for name, tensor in found.items()}
        tensors = streams | gathered(self.tensors(course, optimiser))
        if self.team.leads:
            self.put_down(tensors, course)
