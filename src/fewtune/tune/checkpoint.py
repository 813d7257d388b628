"""Where a long run stood a moment ago, in one safetensors file: an interrupted run goes on from there.

The file holds the trained tensors, AdamW's two moments, the best weights so far and every random stream, so that the
resumed run takes the very steps the uninterrupted one would have taken. It is written whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fewtune.data.files import written_whole

if TYPE_CHECKING:
    from fewtune.tune.course import Course

EVERY_SECONDS = 30.0
"""At most so much of a run is lost; a shorter run is never written."""
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Checkpoint:
    """The file of one run.

    Parameters
    ----------
    path : None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._tensors, self._plain = _read(path)
        self._written = time.monotonic()

    @property
    def attempt(self) -> int:
        """Which attempt was under way."""
        return int(self._plain.get("attempt", 0))

    def resume(self, course: Course, optimiser: torch.optim.Optimizer) -> None:
        """Put everything back where it stood, when the file is of this attempt."""
        if not self._plain or self.attempt != course.attempt.number:
            return
        with torch.no_grad():
            for number, parameter in enumerate(parameters(optimiser)):
                parameter.copy_(self._tensors[f"weight.{number}"])
                moments = {name: self._tensors.get(f"{name}.{number}") for name in MOMENTS}
                optimiser.state[parameter] = {name: t for name, t in moments.items() if t is not None}
        best = {name.removeprefix("best."): t for name, t in self._tensors.items() if name.startswith("best.")}
        course.load_state(self._plain["course"], best or None)
        self.set_own_stream(course)
        set_random_streams(self._tensors)
        self._tensors, self._plain = {}, {}

    def set_own_stream(self, course: Course) -> None:
        """A run that began packed and goes on padded, or the other way about, draws from another stream."""
        stored = self._plain["random"]
        if (stored is None) == (course.tunable.random_state() is None):
            course.tunable.load_random_state(stored)

    def due(self) -> bool:
        """Whether the last writing is long enough ago."""
        return self.path is not None and time.monotonic() - self._written >= EVERY_SECONDS

    def consider(self, course: Course, optimiser: torch.optim.Optimizer) -> None:
        """Write when the last writing is long enough ago."""
        if self.due():
            with contextlib.suppress(OSError):  # a full disk costs the checkpoint, never the run
                self.write(course, optimiser)
            self._written = time.monotonic()

    def write(self, course: Course, optimiser: torch.optim.Optimizer) -> None:
        """Write now. Raises OSError where that cannot be done."""
        self.put_down(random_streams() | self.tensors(course, optimiser), course)

    def tensors(self, course: Course, optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
        """What moves, its moments, and the best of it so far."""
        found = {}
        for number, parameter in enumerate(parameters(optimiser)):
            found[f"weight.{number}"] = parameter.detach()
            found |= {f"{name}.{number}": value for name, value in optimiser.state[parameter].items()}
        if course.keeper is not None and course.keeper.state is not None:
            found |= {f"best.{name}": tensor for name, tensor in course.keeper.state.items()}
        return found

    def put_down(self, tensors: dict[str, torch.Tensor], course: Course) -> None:
        """Write the file whole. Raises OSError where that cannot be done."""
        from safetensors.torch import save

        assert self.path is not None
        plain = {
            "attempt": course.attempt.number,
            "course": course.state(),
            "random": course.tunable.random_state(),
        }
        data = save({name: t.contiguous().clone() for name, t in tensors.items()}, {"plain": json.dumps(plain)})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(self.path) as file:
            file.write(data)

    def remove(self) -> None:
        """The run is finished: nothing is left to go on from."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()


def parameters(optimiser: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    """What an optimiser moves, in its order."""
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def random_streams(ending: str = "") -> dict[str, torch.Tensor]:
    """Where torch's streams stand, here and on the GPU in use, where padded models draw their dropout."""
    found = {f"rng{ending}": torch.get_rng_state()}
    if torch.cuda.is_available():
        found[f"rng.cuda{ending}"] = torch.cuda.get_rng_state()
    return found


def set_random_streams(tensors: dict[str, torch.Tensor], ending: str = "") -> None:
    """Put back what `random_streams` gave, where it is there."""
    if f"rng{ending}" in tensors:
        torch.set_rng_state(tensors[f"rng{ending}"])
    if f"rng.cuda{ending}" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors[f"rng.cuda{ending}"])


def _read(path: Path | None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and plain values; nothing of a file that is absent or damaged."""
    from safetensors import SafetensorError, safe_open

    if path is None or not path.exists():
        return {}, {}
    try:
        with safe_open(path, framework="pt") as file:
            plain = json.loads((file.metadata() or {})["plain"])
            return {name: file.get_tensor(name) for name in file.keys()}, plain  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, ValueError, KeyError):
        return {}, {}
