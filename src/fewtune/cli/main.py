"""The command line: one command a file, imported when it is called, so that `--help` is instant.

Exit codes: 0 done, 1 something could not be done, 2 the command or its input cannot be meant, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from fewtune.cli import (
    bench,
    cache,
    chat,
    check,
    convert,
    fit,
    generate,
    marks,
    predict,
    prefer,
    prepare,
    report,
    runs,
    score,
    several,
    split,
    stages,
    study,
)

INTERRUPTED = 130

app = typer.Typer(
    name="fewtune",
    help="Fine-tune a language model on a small dataset, and know whether to believe the result.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # the pretty help costs 0.1 s of imports
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("bench")(bench.bench)
app.command("cache")(cache.cache)
app.command("chat")(chat.chat)
app.command("check")(check.check)
app.command("convert")(convert.convert)
app.command("fit")(fit.fit)
app.command("generate")(generate.generate)
app.command("marks")(marks.marks)
app.command("predict")(predict.predict)
app.command("prefer")(prefer.prefer)
app.command("prepare")(prepare.prepare)
app.command("report")(report.report)
app.command("runs")(runs.runs)
app.command("score")(score.score)
app.command("split")(split.split)
app.command("stages")(stages.stages)
app.add_typer(study.app)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    """Fine-tune a language model on a small dataset, and know whether to believe the result."""
    del context
    if version:
        from fewtune import __version__

        typer.echo(f"fewtune {__version__}")
        raise typer.Exit


def run() -> None:
    """Entry point: every error a person can cause becomes one clear line and an exit code."""
    # Threads that wait by spinning starve one another on a machine with other work: ten times slower here. Read by the
    # OpenMP library when it is loaded, so it must be said before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    code = 1
    try:
        _run()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        raise
    finally:
        several.end(code)


def _run() -> None:
    from fewtune.errors import FewtuneError

    try:
        _in_a_folder()
        several.begin()
        app()
    except FewtuneError as error:
        typer.echo(f"fewtune: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as stop:
        # typer turns an interruption into a silent exit with this code, and a reader who has enough into one with 1.
        if isinstance(stop.__context__, BrokenPipeError):
            sys.exit(0)
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        goes_on = sys.argv[1:2] in (["fit"], ["prefer"], ["stages"]) or "--review" in sys.argv
        said = "What is finished is kept; the same command goes on from there."
        if not goes_on:
            said = "No file was left half written; give the same command again."
        typer.echo(f"\nfewtune: interrupted. {said}", err=True)
        sys.exit(INTERRUPTED)
    except MemoryError:
        typer.echo("fewtune: out of memory. Give fewer or shorter rows, or a smaller --backbone.", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _in_a_folder() -> None:
    """Libraries that are loaded by their path end the process without a word where the current folder is gone."""
    from fewtune.errors import UsageError

    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError("The current folder does not exist any more. Change to one that does.") from None


if __name__ == "__main__":
    run()
