"""Commands and scripts of a page in processes that have their libraries already: loading them took most of the time.

A server imports what commands import, runs none of it, and forks a process for each call. A caller hands its words,
folder, environment and open files to it, and ends as the process does.

    python preloaded.py serve ADDRESS                      until its standard input ends
    python preloaded.py call ADDRESS fewtune|python WORDS
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARIES = (
    "fewtune.cli.main",
    "fewtune.fitting",
    "fewtune.generating",
    "fewtune.classifier",
    "fewtune.auditing",
    "fewtune.preparing",
    "fewtune.metrics",
    "fewtune.backbones.load",
    "fewtune.backbones.language.load",
    "fewtune.methods.registry",
    "fewtune.report.html",
    "cleanlab",
    "phonenumbers",
    "sklearn.base",
    "sklearn.linear_model",
    "pandas",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
)


class Preloaded:
    """The server, started at once."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fewtune-")  # short: an address has 107 letters at most
        self._address = str(Path(self._folder.name) / "line")
        command = [sys.executable, __file__, "serve", self._address]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n"

    def command(self, name: str) -> list[str]:
        """What to run in place of `fewtune` or `python`."""
        return [sys.executable, "-IS", __file__, "call", self._address, name]

    def functions(self) -> str:
        """For a shell: the same, under the names that a page uses."""
        return "".join(f'{name}() {{ {shlex.join(self.command(name))} "$@"; }}\n' for name in ("fewtune", "python"))

    def close(self) -> None:
        """End the server."""
        self._server.communicate()
        self._folder.cleanup()


def call(address: str, *words: str) -> int:
    """Have a call carried out by the server; its exit code."""
    told = json.dumps([words, str(Path.cwd()), dict(os.environ)]).encode()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        socket.send_fds(line, [len(told).to_bytes(8, "big")], [0, 1, 2])
        line.sendall(told)
        code = line.recv(4)
    assert code, "the server of preloaded processes is gone"
    return int.from_bytes(code, "big")


def serve(address: str) -> None:
    """Fork for every call; return in the child, where the call is to be carried out."""
    for name in LIBRARIES:
        __import__(name)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        print("ready", flush=True)  # noqa: T201
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those who wait for calls are nobody's to wait for
        while door in select.select([door, sys.stdin], [], [])[0]:
            line, _ = door.accept()
            if not os.fork():
                door.close()
                answer(line)
            line.close()


def answer(line: socket.socket) -> None:
    """Fork once more for the call itself, wait for its end, and say its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, files, _, _ = socket.recv_fds(line, 8, 3)
    told = bytearray()
    while len(told) < int.from_bytes(length, "big"):
        told += line.recv(1 << 16)
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        line.sendall((code if code >= 0 else 128 - code).to_bytes(4, "big"))
        os._exit(0)
    line.close()
    (name, *words), folder, environment = json.loads(told)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(carry_out(name, words))


def carry_out(name: str, words: list[str]) -> int | str | None:
    """As `fewtune WORDS`, `python -c CODE` and `python -` would."""
    if name == "fewtune":
        from fewtune.cli.main import run

        sys.argv = ["fewtune", *words]
        run()
        return 0
    assert words[0] in ("-c", "-"), f"python {words[0]} is not carried out here"
    code = words[1] if words[0] == "-c" else sys.stdin.read()
    sys.argv = [words[0]]
    sys.path[0] = ""
    exec(compile(code, "<page>", "exec"), {"__name__": "__main__"})
    return 0


if __name__ == "__main__":
    sys.exit({"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:]))
