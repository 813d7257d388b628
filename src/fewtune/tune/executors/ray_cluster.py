"""Ray, started on this machine or joined where it runs: quiet, without dashboard, telling nobody anything."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fewtune.errors import FewtuneError, MissingExtra, UsageError

ADDRESS = "RAY_ADDRESS"
LOCAL = "local"
KNOCK_SECONDS = 10.0
# Read when Ray is imported and by every process it starts. Usage statistics are sent to Ray's makers unless refused;
# metrics are for a dashboard that is not there.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    # A worker without a GPU sees none, also where it stands beside one; without a word on it Ray warns.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}


@dataclass
class _Connection:
    """The one connection a process has, shared by its executors."""

    holders: int = 0
    """0 where there is none, or where the program around us made it: then it is not ours to end."""
    folder: str | None = None
    """What a cluster of our own writes; None where one was joined."""


_connection = _Connection()


def ray(address: str | None = None) -> Any:
    """The library, made ready for a cluster at `address` or one of our own. Raises MissingExtra."""
    os.environ.update(ENVIRONMENT)
    if _resolved(address) == LOCAL and "ray" not in sys.modules and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        # Whoever can speak to Ray can run any code: a cluster of our own asks for a token that only its processes
        # know. Ray reads it when it is imported, so a program that has done so before goes by what it has said there.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray as library
    except ImportError as error:
        raise MissingExtra("ray", "ray", "The executor over several machines") from error
    return library


def _resolved(address: str | None) -> str:
    return address or os.environ.get(ADDRESS) or LOCAL


class Cluster:
    """Joined on making, left by `leave`; stopped with it when this process started it and nobody else holds it.

    Parameters
    ----------
    address : `HOST:PORT` of a cluster this machine belongs to, or `auto` for the one that runs here; without one
        `RAY_ADDRESS` is read, and without that a cluster of this machine alone is started.
    cores : of a cluster that is started here.

    Raises
    ------
    MissingExtra : Ray is not installed.
    UsageError : no cluster answers at the address.
    """

    def __init__(self, address: str | None, *, cores: int) -> None:
        self.ray = ray(address)
        self._held = not self.ray.is_initialized() or _connection.holders > 0
        place = _resolved(address)
        if self.ray.is_initialized():
            _check_same(self.ray, place)
        elif place == LOCAL:
            _hush(self.ray)
            _connection.folder = _start(self.ray, cores)
        else:
            _hush(self.ray)
            _join(self.ray, place)
            _connection.folder = None
        _connection.holders += self._held

    def leave(self) -> None:
        """Nothing that was started for us outlives the last that held it; a second call does nothing."""
        if not self._held:
            return
        self._held = False
        _connection.holders -= 1
        if _connection.holders == 0:
            self.ray.shutdown()
            if _connection.folder is not None:
                shutil.rmtree(_connection.folder, ignore_errors=True)

    def resources(self) -> dict[str, float]:
        """What all machines have together: `CPU`, `GPU`, …"""
        return dict(self.ray.cluster_resources())


def _start(library: Any, cores: int) -> str:
    folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets in it have at most 107 letters
    try:
        with _unset(ADDRESS):
            library.init(
                address=LOCAL,
                num_cpus=cores,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                _temp_dir=folder,
            )
    except Exception as error:
        _undo(library)
        shutil.rmtree(folder, ignore_errors=True)
        raise FewtuneError(
            f"Ray could not be started on this machine ({_short(error)}). Take another --executor."
        ) from error
    return folder


def _join(library: Any, address: str) -> None:
    if "://" in address:
        raise UsageError(
            f"Ray's client addresses ({address}) are not used. Join this machine to the cluster "
            "(ray start --address HOST:PORT) and give --ray-address HOST:PORT."
        )
    try:
        if address != "auto":
            _knock(address)
        library.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray raises half a dozen kinds; each means: not to be joined
        _undo(library)
        raise UsageError(
            f"No Ray cluster could be joined at {address} ({_short(error)}). "
            "Check that it runs and that this machine belongs to it: ray start --address HOST:PORT."
        ) from error


def _knock(address: str) -> None:
    """Whether anybody answers there at all: Ray itself would go on asking for minutes."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS):
        pass


def _check_same(library: Any, address: str) -> None:
    """A process speaks to one cluster at a time."""
    here = library.get_runtime_context().gcs_address
    if address not in (LOCAL, "auto", here):
        raise UsageError(
            f"This program already uses the Ray cluster at {here}, so it cannot join {address} as well. "
            "Leave the address out, or end that connection first: ray.shutdown()."
        )


def _hush(library: Any) -> None:
    """Ray prints the log of a machine that was lost, whatever `log_to_driver` says, on standard output: that is for
    results alone. What was lost is done again, so there is nothing to say.
    """
    with contextlib.suppress(AttributeError):
        library._private.worker.print_to_stdstream = lambda *_args, **_options: None


def _undo(library: Any) -> None:
    with contextlib.suppress(Exception):
        library.shutdown()


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


@contextlib.contextmanager
def _unset(name: str) -> Iterator[None]:
    kept = os.environ.pop(name, None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ[name] = kept


__all__ = ["Cluster", "ray"]
