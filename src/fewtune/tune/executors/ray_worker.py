"""What runs on a Ray worker: a process of its own, on whatever machine, on one thread.

A context holds opened backbones, which do not travel. What travels is their names, folders and fingerprints: a worker
opens each once and refuses one whose files differ, since its results would stand in the store under the wrong key.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fewtune.data.base import Dataset
from fewtune.errors import BackboneDamaged, BackboneMissing, FewtuneError, UsageError
from fewtune.tune.executors.base import Executor
from fewtune.tune.executors.one_run import Refusal, one_thread
from fewtune.tune.run import Context, Outcome, Run, arithmetic

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

CARRIED = ("HF_HUB_OFFLINE", "HF_HOME", "FEWTUNE_CACHE", "FEWTUNE_CACHE_LIMIT", "FEWTUNE_CACHE_MEMORY")
"""Variables of this process that a worker must see as well; a fresh process on another machine has its own."""


@dataclass(frozen=True)
class Backbone:
    """An encoder as it travels."""

    name: str
    folder: Path
    fingerprint: str


@dataclass(frozen=True)
class Parcel:
    """A context as it travels."""

    dataset: Dataset
    backbones: dict[str, Backbone]
    """By the name recipes use."""
    groups: tuple[int, ...] | None
    unlabelled: tuple[str, ...]
    partial: Path | None
    arithmetic: tuple[str, ...]
    """Versions, precision and device of the process that asks: a worker that differs is refused."""
    environment: dict[str, str]

    @classmethod
    def of(cls, context: Context) -> Parcel:
        """Pack a context. Raises UsageError for one with models that write, which do not travel yet."""
        if context.language_models:
            known = "serial, forked or stacked"
            raise UsageError(f"--executor ray carries no model that writes to other processes yet. Take {known}.")
        versions = arithmetic()
        backbones = {key: Backbone(e.name, e.folder.absolute(), e.fingerprint) for key, e in context.encoders.items()}
        groups = None if context.groups is None else tuple(map(int, context.groups))
        environment = {name: os.environ[name] for name in CARRIED if name in os.environ}
        # Another machine's own measurement could choose another format: all compute in the one of who asks.
        environment |= {"FEWTUNE_PRECISION": versions[-2], "FEWTUNE_DEVICE": versions[-1]}
        partial = None if context.partial is None else context.partial.absolute()
        return cls(context.dataset, backbones, groups, context.unlabelled, partial, versions, environment)


class Worker:
    """An actor: opens what a parcel names, then carries out groups of runs, one outcome at a time.

    Parameters
    ----------
    within : the executor that carries out a group.
    """

    def __init__(self, within: str) -> None:
        self.within = within
        self.context: Context | None = None
        self.encoders: dict[Backbone, Encoder] = {}

    def open(self, parcel: Parcel) -> Refusal | None:
        """Make the context; why not, where it cannot be made."""
        os.environ.update(parcel.environment)  # before anything asks for precision or device
        try:
            _check_same(parcel.arithmetic)
            with one_thread():
                encoders = {key: self._encoder(backbone) for key, backbone in parcel.backbones.items()}
        except FewtuneError as error:
            return Refusal.of(error)
        partial = parcel.partial if parcel.partial is not None and parcel.partial.is_dir() else None
        self.context = Context(parcel.dataset, encoders, parcel.groups, parcel.unlabelled, partial)
        return None

    def carry_out(self, places: Sequence[int], runs: Sequence[Run]) -> Iterator[tuple[int, Outcome | Refusal]]:
        """Each run's place in the plan and outcome, as it is finished."""
        assert self.context is not None
        try:
            with one_thread():
                for found, outcome in self._executor().execute(runs, self.context, tick=_stop_when_told):
                    yield places[found], outcome
        except FewtuneError as error:
            yield -1, Refusal.of(error)
        except _Stopped:
            return

    def where(self) -> tuple[str, int]:
        """Machine and process."""
        return socket.gethostname(), os.getpid()

    def _executor(self) -> Executor:
        from fewtune.tune.executors.registry import executor

        return executor(self.within)

    def _encoder(self, backbone: Backbone) -> Encoder:
        if backbone not in self.encoders:
            self.encoders[backbone] = _open(backbone)
        return self.encoders[backbone]


class _Stopped(Exception):
    """Nobody waits for this group any more."""


def _stop_when_told() -> None:
    import ray

    if ray.get_runtime_context().is_canceled():
        raise _Stopped


def _open(backbone: Backbone) -> Encoder:
    from fewtune.backbones.load import DEFAULT, DEFAULT_NAME, load_encoder

    host = socket.gethostname()
    if backbone.folder.is_dir():
        source = str(backbone.folder)
    elif backbone.name == DEFAULT_NAME:
        source = DEFAULT
    else:
        source = backbone.name
    try:
        encoder = load_encoder(source)
    except BackboneMissing as error:
        raise BackboneMissing(
            f"The machine {host} has no backbone in {backbone.folder}. Copy the folder there, to the same path. "
            f"({error})"
        ) from error
    if encoder.fingerprint != backbone.fingerprint:
        raise BackboneDamaged(
            f"{encoder.folder} on the machine {host} is not the backbone of this study: its files have the fingerprint "
            f"{encoder.fingerprint}, those here {backbone.fingerprint}. Copy the folder there again."
        )
    return encoder


def _check_same(wanted: tuple[str, ...]) -> None:
    mine = arithmetic()
    if mine != wanted:
        differ = ", ".join(f"{b} there, {a} here" for a, b in zip(wanted, mine, strict=True) if a != b)
        raise UsageError(
            f"The machine {socket.gethostname()} would compute otherwise than this one ({differ}). "
            "Install the same fewtune, torch and scikit-learn on every machine of the cluster."
        )


__all__ = ["Backbone", "Parcel", "Worker"]
