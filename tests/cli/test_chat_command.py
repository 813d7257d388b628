"""`fewtune chat` through a pseudo-terminal: what a person types, and the keys they press."""

import contextlib
import io
import os
import pty
import select
import signal
import sys
import time

import pytest

from fewtune.testing.tiny_writers import CHAT, make_tiny_writer

DEADLINE = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_writer(tmp_path_factory.mktemp("writers") / "gpt2", "gpt2", chat_template=CHAT)


class Terminal:
    """A process behind a pseudo-terminal."""

    def __init__(self, *call):
        self.process, self.file = pty.fork()
        if self.process == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background ignores it, and so would this
            os.execv(sys.executable, [sys.executable, "-m", "fewtune.cli.main", *map(str, call)])
        self.seen = ""

    def wait_for(self, text, *, count=1, keys=None):
        """Read until `text` has been seen `count` times in what came since the last wait.

        `keys` are typed, and again after a second of silence: a Ctrl-C that comes just before Python waits for a line
        is heard with the next key only.
        """
        end = time.monotonic() + DEADLINE
        if keys:
            self.type(keys)
        while self.seen.count(text) < count:
            assert time.monotonic() < end, f"{text!r} did not come: {self.seen!r}"
            if select.select([self.file], [], [], 1)[0]:
                try:
                    self.seen += os.read(self.file, 4096).decode("utf-8", "replace")
                except OSError:  # Linux says so where the other side has closed
                    assert text in self.seen, self.seen
            elif keys:
                self.type(keys)
        parts = self.seen.split(text)
        self.seen = text.join(parts[count:])
        return text.join(parts[:count]) + text

    def type(self, keys):
        os.write(self.file, keys.encode())

    def code(self, keys=None):
        """The exit code; `keys` are typed again and again till there is one, as `wait_for` does and for its reason."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            done, status = os.waitpid(self.process, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            with contextlib.suppress(OSError):  # Linux says so where the other side has closed
                if select.select([self.file], [], [], 1)[0]:
                    self.seen += os.read(self.file, 4096).decode("utf-8", "replace")
                elif keys:
                    self.type(keys)
        os.kill(self.process, signal.SIGKILL)
        pytest.fail(f"it did not end: {self.seen!r}")


def test_a_conversation_in_a_terminal(folder):
    terminal = Terminal("chat", folder, "--max-new-tokens", "400", "--temperature", "1")
    assert "Ctrl-D to leave" in terminal.wait_for("> ")
    terminal.type("/help\n")
    assert "/reset" in terminal.wait_for("Ctrl-C        stop")
    terminal.type("/system Be brief\n")
    terminal.wait_for("From here on.")
    terminal.type("/system\n")
    terminal.wait_for("Be brief\r\n", count=1)
    terminal.type("/what\n")
    terminal.wait_for("There is no /what.")
    terminal.wait_for("> ")
    # Ctrl-C where nothing is written leaves nothing.
    terminal.wait_for("Ctrl-D leaves.", keys="\x03")
    terminal.wait_for("Forgotten.", keys="/reset\n")
    assert terminal.code(keys="\x04") == 0


def test_control_c_stops_the_answer_only(folder):
    terminal = Terminal("chat", folder, "--max-new-tokens", "480", "--temperature", "1")
    terminal.wait_for("> ")
    terminal.type("red\n")
    terminal.wait_for("red\r\n")
    # Stopped, or done before the key was pressed: either way the next question is asked.
    terminal.wait_for("> ", keys="\x03")
    assert terminal.code(keys="/quit\n") == 0


def test_without_a_terminal_each_line_is_a_question(fewtune, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("red\n\n/system Be\n/nothing\ngreen\n"))
    answer = fewtune("chat", folder, "--max-new-tokens", "5", "--temperature", "0")
    assert answer.code == 0
    assert answer.out.count("\n") >= 2
    assert "> " not in answer.out
    assert "There is no /nothing." in answer.err


def test_options_that_cannot_be_meant(fewtune, folder):
    answer = fewtune("chat", folder, "--top-p", "2")
    assert answer.code == 2
    assert "top_p" in answer.err
