"""A command in a forked child, stopped where a test wants it: no race between its work and the signal of the test.

Its libraries are those of this process, loaded already: it starts at once, also on a busy machine.
"""

import contextlib
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 900  # only reached by what hangs


@dataclass
class Ended:
    """What became of a child; `code` is negative where a signal ended it."""

    code: int
    out: str
    err: str


class Child:
    """`fewtune …`, what it says in files of `folder`.

    `pause=(owner, name, calls)`: after so many calls of that function it says so, and waits for a signal. With
    `piped`, its standard output is a pipe, read from `stdout`.
    """

    def __init__(self, folder, *call, pause=None, piped=False):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._there, there = os.pipe()
        readable, out = os.pipe() if piped else (None, self._file("out"))
        self.pid = os.fork()
        if self.pid:
            os.close(there)
            os.close(out)
            self.stdout = open(readable, "rb") if piped else None  # noqa: SIM115, PTH123
            return
        code = 70
        try:
            for descriptor in (self._there, readable):  # a pipe breaks only where nobody else could read it
                if descriptor is not None:
                    os.close(descriptor)
            _take(out, self._file("err"))
            code = _command(call, pause, there)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _file(self, name):
        return os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def wait_until_paused(self):
        """Until it stands where it was to stand; fails where it ended before."""
        said = os.read(self._there, 1)
        assert said, f"it ended before: {self.ended()}"

    def ended(self):
        """Wait for its end."""
        until = time.monotonic() + DEADLINE
        while not (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError("it did not end")
            time.sleep(0.01)
        os.close(self._there)
        read = [path.read_text() if (path := self.folder / name).exists() else "" for name in ("out", "err")]
        return Ended(os.waitstatus_to_exitcode(found[1]), *read)

    def interrupted(self, number=signal.SIGINT):
        """What became of it by a signal."""
        os.kill(self.pid, number)
        return self.ended()


def _take(out, err):
    """Output there; Ctrl-C as in a terminal, also where the tests run in the background."""
    for number, descriptor in ((1, out), (2, err)):
        os.dup2(descriptor, number)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _command(call, pause, there):
    from fewtune.cli.main import run

    if pause is not None:
        _pause(*pause, there)
    sys.argv = ["fewtune", *map(str, call)]
    code = 0
    try:
        run()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError, ValueError):  # who has read enough; closed
            stream.flush()
    return code


def _pause(owner, name, calls, there):
    inner, count = getattr(owner, name), 0

    def counting(*args, **options):
        nonlocal count
        answer = inner(*args, **options)
        count += 1
        if count == calls:
            os.write(there, b"x")
            until = time.monotonic() + DEADLINE
            while time.monotonic() < until:  # a signal just before one long sleep would be heeded only after it
                time.sleep(0.01)
        return answer

    setattr(owner, name, counting)
