"""The other processes of a team: started here, or by torchrun; each does what the one that leads says, then ends.

Run as a module it is such a process. It prints nothing but why it could not go on.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fewtune.backbones.team import MEETING, Team, called, join, leave, team
from fewtune.errors import FewtuneError, TeamLost, UsageError

POLL_SECONDS = 0.05
_started: list[subprocess.Popen[bytes]] = []


def gather(processes: int | None) -> Team | None:
    """The team that this process leads; None where it is alone.

    Parameters
    ----------
    processes : how many are wanted, this one among them; None: as many as were started with it.

    Raises
    ------
    UsageError : the team is there, and of another size; or there is no GPU for each.
    TeamLost : a process ended as it began.
    """
    there = team() or _called()
    if there is not None:
        if processes not in (None, there.size):
            raise UsageError(f"There are {there.size} processes: leave out --processes {processes}.")
        return there
    return None if processes is None or processes < 2 else _start(processes)


def _called() -> Team | None:
    """The team torchrun called this process into, where it leads; where it does not, it follows, and ends here."""
    if not called():
        return None
    if os.environ["RANK"] != "0":
        sys.exit(serve())
    atexit.register(part)
    return join()


def _start(count: int) -> Team:
    """Start the others and meet them."""
    folder = Path(tempfile.mkdtemp(prefix="fewtune-"))
    for rank in range(1, count):
        about = _about(rank, count, folder)
        command = [sys.executable, "-m", __name__]
        _started.append(subprocess.Popen(command, env={**os.environ, **about}, stdin=subprocess.DEVNULL))
    atexit.register(part)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    while not all((folder / f"ready-{rank}").exists() for rank in range(1, count)):
        _check_alive()
        time.sleep(POLL_SECONDS)
    with _environment(_about(0, count, folder)):
        return join()


def _about(rank: int, count: int, folder: Path) -> dict[str, str]:
    """What a process is told of the team, as torchrun tells it."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    return {**{name: str(value) for name, value in places.items()}, MEETING: str(folder / "meeting")}


@contextlib.contextmanager
def _environment(about: dict[str, str]):  # type: ignore[no-untyped-def]
    before = {name: os.environ.get(name) for name in about}
    os.environ.update(about)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _check_alive() -> None:
    for number, process in enumerate(_started, start=1):
        if process.poll() is not None:
            part(1)
            raise TeamLost(f"Process {number} ended as it began. What it said stands above.")


def part(code: int = 0) -> None:
    """Tell the others that all is done, or how it failed, and wait for those that were started here.

    Others that are in the midst of something cannot hear: those started here are ended, torchrun ends its own.
    """
    there = team()
    heard = there is not None and there.leads and not there.under_way
    if there is not None and heard:
        with contextlib.suppress(TeamLost, RuntimeError):
            there.tell(("end", code))
    for process in _started:
        if not heard:
            process.terminate()
        process.wait()
    _started.clear()
    leave(at_once=not heard)


def serve() -> int:
    """Join, follow, end; the exit code."""
    from fewtune.backbones import precision
    from fewtune.tune.executors.sharded import follow

    code, name = 1, f"process {os.environ.get('RANK')} of {os.environ.get('WORLD_SIZE')}"
    try:
        precision.device()
        _say_ready()
        code = follow(join())
    except FewtuneError as error:
        sys.stderr.write(f"fewtune, {name}: {error}\n")
    except KeyboardInterrupt:
        code = 130
    sys.stderr.flush()
    if code:
        # What the others are in the midst of would be waited for: they are to miss this one at once.
        os._exit(code)
    leave()
    return code


def _say_ready() -> None:
    meeting = os.environ.get(MEETING)
    if meeting is not None:
        (Path(meeting).parent / f"ready-{os.environ['RANK']}").touch()


if __name__ == "__main__":
    sys.exit(serve())
