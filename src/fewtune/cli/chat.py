"""`fewtune chat`: a conversation with a model in the terminal."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import typer

from fewtune.cli import options
from fewtune.cli.groups import Sampling, spread

if TYPE_CHECKING:
    from fewtune.generating import Chat

HELP = """/reset        forget what was said
/system TEXT  what the model is asked to be; without TEXT: show it
/quit         leave, as Ctrl-D does
Ctrl-C        stop the answer"""
ASKS = "> "
LIVELY = Sampling(temperature=0.7, top_p=0.95)


@spread
def chat(
    folder: options.Writer,
    *,
    sampling: Sampling = LIVELY,
    template: options.Template = None,
    system: options.System = None,
) -> None:
    """Talk with a model. /help tells what can be typed; Ctrl-C stops an answer, Ctrl-D leaves."""
    from fewtune.cli.generate import opened
    from fewtune.generating import Chat

    sampling.decoding()  # what cannot be meant is said before a model is opened
    model = opened(folder, template, None)
    talk(Chat(model, sampling.decoding(model), system=system or model.template.instruction))


def talk(held: Chat) -> None:
    """Question and answer until the person leaves."""
    terminal = sys.stdin.isatty()
    if terminal:
        typer.echo(f"{held.opened.model.name}: /help for what can be typed, Ctrl-D to leave.", err=True)
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (gives `input` its arrow keys and history)
    while True:
        try:
            line = _asked(terminal)
            if line is None or (line.startswith("/") and not obey(held, line)):
                break
        except KeyboardInterrupt:
            typer.echo("\nCtrl-D leaves.", err=True)
            continue
        if line.strip() and not line.startswith("/"):
            answer(held, line)
    if terminal:
        typer.echo(err=True)


def _asked(terminal: bool) -> str | None:
    """What is typed; None at the end."""
    try:
        return input(ASKS if terminal else "")
    except EOFError:
        return None


def obey(held: Chat, line: str) -> bool:
    """Do what a line that begins with a slash says; False when it says to leave."""
    word, _, rest = line.strip().partition(" ")
    if word in ("/quit", "/exit"):
        return False
    if word == "/reset":
        held.reset()
        typer.echo("Forgotten.", err=True)
    elif word == "/system" and rest.strip():
        held.system = rest.strip()
        typer.echo("From here on.", err=True)
    elif word == "/system":
        typer.echo(held.system or "No system message.", err=True)
    else:
        known = "" if word == "/help" else f"There is no {word}.\n"
        typer.echo(f"{known}{HELP}", err=True)
    return True


def answer(held: Chat, line: str) -> None:
    """Show the answer as it is written; Ctrl-C stops it, and what was shown stays said."""
    from fewtune.errors import FewtuneError

    try:
        with contextlib.closing(held.ask(line)) as pieces:
            for piece in pieces:
                typer.echo(piece, nl=False)
                sys.stdout.flush()
        typer.echo()
    except KeyboardInterrupt:
        typer.echo()
        typer.echo("Stopped.", err=True)
    except FewtuneError as error:
        typer.echo(f"fewtune: {error}", err=True)
