"""Several processes that work on one model: who they are, and what they tell each other.

One leads: it reads, decides, prints and writes. The others follow: they do what it says, each on its share of the
weights and the rows. Words travel over gloo and are waited for as long as it takes; numbers travel over gloo between
CPUs and NCCL between GPUs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from fewtune.backbones import precision
from fewtune.errors import TeamLost, UsageError

T = TypeVar("T")
MEETING = "FEWTUNE_MEETING"
"""Environment: the file over which processes started by fewtune find each other; torchrun's have an address."""
PATIENCE = timedelta(days=7)
"""For the leader's next word."""
STEP = timedelta(minutes=30)
"""For numbers of a step: who is not there by then is gone."""


@dataclass(frozen=True, eq=False)
class Team:
    """The processes, as one of them sees them."""

    rank: int
    size: int
    mesh: DeviceMesh
    under_way: list[str] = field(default_factory=list)
    """What this process is in the midst of with the others; whoever leaves then is waited for in vain."""

    @property
    def leads(self) -> bool:
        """Whether this is the one that decides and writes."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this one computes."""
        return precision.device()

    def tell(self, said: Any) -> None:
        """From the one that leads to all others."""
        with _company():
            dist.broadcast_object_list([said], src=0)

    def hear(self) -> Any:
        """What the one that leads says next."""
        said = [None]
        with _company():
            dist.broadcast_object_list(said, src=0)
        return said[0]

    def agree(self, said: T | None = None) -> T:
        """What the one that leads says, everywhere."""
        if self.leads:
            self.tell(said)
            return said  # type: ignore[return-value]
        return self.hear()  # type: ignore[no-any-return]

    def collect(self, said: T) -> list[T]:
        """What each one says, everywhere."""
        heard: list[Any] = [None] * self.size
        with _company():
            dist.all_gather_object(heard, said)
        return heard

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        summed = values.detach().clone()
        with _company():
            dist.all_reduce(summed, group=self.mesh.get_group())
        return summed

    def copied(self, values: torch.Tensor) -> torch.Tensor:
        """What the one that leads has."""
        with _company():
            dist.broadcast(values, src=0, group=self.mesh.get_group())
        return values


_team: Team | None = None


def team() -> Team | None:
    """The team this process belongs to; None where it is alone."""
    return _team


def called() -> bool:
    """Whether this process was started as one of several, by torchrun or by fewtune."""
    several = MEETING in os.environ or "TORCHELASTIC_RUN_ID" in os.environ
    return several and {"RANK", "WORLD_SIZE"} <= set(os.environ)


def join() -> Team:
    """Meet the others, as the environment says. Raises UsageError where there is no GPU for each."""
    global _team
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    kind = precision.device().type
    if kind == "cuda":
        _take_gpu(int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", size)))
    meeting = os.environ.get(MEETING)
    if meeting is not None:  # all on this machine: its outer name need not lead anywhere
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with _company():
        where = "env://" if meeting is None else f"file://{meeting}"
        dist.init_process_group("gloo", init_method=where, rank=rank, world_size=size, timeout=PATIENCE)
        group = dist.new_group(backend="nccl" if kind == "cuda" else "gloo", timeout=STEP)
    _team = Team(rank, size, DeviceMesh.from_group(group, kind))
    return _team


def _take_gpu(place: int, here: int) -> None:
    there = torch.cuda.device_count()
    if here > there:
        raise UsageError(
            f"{here} processes on this machine need a GPU each, and there {'is' if there == 1 else 'are'} {there}. "
            "Give fewer, or set FEWTUNE_DEVICE=cpu."
        )
    torch.cuda.set_device(place)


def leave(*, at_once: bool = False) -> None:
    """Part from the others; `at_once` without waiting for what GPUs are in the midst of."""
    global _team
    if _team is not None:
        waits = at_once and _team.device.type == "cuda"
        _team = None
        if waits:
            return
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


@contextlib.contextmanager
def _company() -> Iterator[None]:
    """Within it, somebody who is gone is missed in words."""
    try:
        yield
    except RuntimeError as error:
        if not lost(error):
            raise
        raise TeamLost(GONE) from error


GONE = "Another process of this run has ended, and without it nothing goes on. What it said last stands above."


def lost(error: BaseException) -> bool:
    """Whether an error says that another process is gone."""
    said = str(error).casefold()
    signs = ("connection closed", "connection reset", "broken pipe", "connection refused", "timed out", "nccl")
    return isinstance(error, RuntimeError) and any(sign in said for sign in signs)


__all__ = ["GONE", "MEETING", "Team", "called", "join", "leave", "lost", "team"]
