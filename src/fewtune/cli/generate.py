"""`fewtune generate`: what a model writes for a prompt, a file of prompts, or standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtune.cli import options
from fewtune.cli.given import is_file, read_asked, refuse_input, typed
from fewtune.cli.groups import Sampling, spread
from fewtune.errors import EmptyData, UsageError
from fewtune.plural import counted

if TYPE_CHECKING:
    from fewtune.backbones.decoding.settings import Decoding
    from fewtune.data.base import Example
    from fewtune.generating import Opened


@spread
def generate(
    folder: options.Writer,
    prompts: Annotated[
        list[str] | None, typer.Argument(help="Prompts, or one file of rows; `-` or nothing is standard input.")
    ] = None,
    *,
    out: Annotated[Path | None, typer.Option(help="Write CSV, TSV, JSON lines or Parquet, by its ending.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of prompts of the file.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Each line of standard input is a prompt.")] = False,
    sampling: Sampling,
    choices: Annotated[str | None, typer.Option(help="Answers to choose from, by commas; each is scored.")] = None,
    per_token: Annotated[
        bool, typer.Option("--per-token", help="Choices are scored by the token, so that long ones are not at a loss.")
    ] = False,
    json_schema: Annotated[Path | None, typer.Option(help="Answers are JSON of the schema in this file.")] = None,
    template: options.Template = None,
    system: options.System = None,
    stream: Annotated[
        bool | None, typer.Option("--stream/--no-stream", help="Show one answer as it is written; so on a terminal.")
    ] = None,
    as_json: Annotated[bool, options.printed("JSON lines")] = False,
) -> None:
    """Write answers with a tuned model, or any model that writes."""
    named = _choices(choices, json_schema, sampling.decoding())
    if per_token and not named:
        raise UsageError("--per-token says how --choices are scored: give them.")
    schema = _schema(json_schema)
    if out is not None:
        refuse_input(out, prompts or [])
    rows = gather(prompts or [], text, lines=lines)
    model = opened(folder, template, system)
    settings = sampling.decoding(model)
    streamed = stream if stream is not None else sys.stdout.isatty()
    if streamed and len(rows) == 1 and out is None and not as_json and not named:
        show_stream(rows[0], model, settings, schema)
        return
    columns = answers(rows, model, settings, schema, named, per_token=per_token)
    if out is not None:
        from fewtune.data.write import write_table

        typer.echo(f"{counted(len(rows), 'answer')} written to {write_table(out, columns)}", err=True)
    else:
        show(columns, as_json=as_json)


def opened(folder: str, template: str | None, system: str | None) -> Opened:
    """The model, laid out as asked; on standard error what was chosen on the way."""
    from dataclasses import replace

    from fewtune.data.templates.make import template_of
    from fewtune.generating import open_model

    found = open_model(folder)
    laid_out = found.template if template is None else found.model.settle(template_of(template))
    if system is not None:
        laid_out = replace(laid_out, instruction=system)
    for note in found.model.notes:
        typer.echo(f"  · {note}", err=True)
    return replace(found, template=laid_out)


def _choices(given: str | None, schema: Path | None, settings: Decoding) -> list[str]:
    named = [] if given is None else [name.strip() for name in given.split(",")]
    if given is not None and schema is not None:
        raise UsageError("--choices and --json-schema cannot both hold. Give one.")
    if given is not None and (len(named) < 2 or "" in named or len(set(named)) < len(named)):
        raise UsageError(f"--choices {given!r}: give two or more, apart by commas, none empty, none twice.")
    if named and not settings.greedy:
        raise UsageError("--choices are scored and nothing is drawn: --temperature has no meaning with them.")
    return named


def _schema(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    from fewtune.backbones.decoding.grammar import read_schema

    return read_schema(path)


def gather(given: list[str], column: str | None, *, lines: bool) -> list[Example]:
    """The prompts meant by the arguments: one existing file is read, `-` or nothing is standard input."""
    from fewtune.data.base import Example

    if given and given != ["-"]:
        if len(given) == 1 and is_file(given[0]):
            return list(read_asked(given[0], text=column))
        for text in given:
            if len(given) > 1 and is_file(text, there=True):
                raise UsageError(f"{text} is a file among other prompts. Give one file alone, or prompts alone.")
        return [Example(text, id=str(place), row=place) for place, text in enumerate(given, 1)]
    raw = typed("" if given else "Type a prompt")
    texts = [line for line in raw.splitlines() if line.strip()] if lines else [raw.rstrip("\n")]
    if not "".join(texts).strip():
        raise EmptyData("Standard input has no text.", remedy="Give a prompt, a file, or text on standard input.")
    return [Example(text, id=str(place), row=place) for place, text in enumerate(texts, 1)]


def answers(
    rows: list[Example],
    model: Opened,
    settings: Decoding,
    schema: dict[str, Any] | None,
    choices: list[str],
    *,
    per_token: bool = False,
) -> dict[str, list[Any]]:
    """Columns of the answer, with a bar on standard error while there are several."""
    from fewtune.cli.screen import screen
    from fewtune.generating import choose, generate

    columns: dict[str, list[Any]] = {"row": [one.row for one in rows]}
    if any(one.id != str(one.row) for one in rows):
        columns["id"] = [one.id for one in rows]
    columns["prompt"] = [one.text for one in rows]
    if any(one.completion is not None for one in rows):
        columns["reference"] = [one.completion for one in rows]
    with screen(quiet=len(rows) < 2) as drawn:
        drawn.start("Answers", len(rows))
        if choices:
            chosen = choose(model, rows, choices, per_token=per_token, progress=drawn.several, say=drawn.say)
            columns["answer"] = [one.text for one in chosen]
            columns["probability"] = [round(one.probabilities[one.text], 6) for one in chosen]
            for name in choices:
                columns[f"p({name})"] = [round(one.probabilities[name], 6) for one in chosen]
            return columns
        written = generate(model, rows, settings=settings, schema=schema, progress=drawn.several, say=drawn.say)
    cut = [one.cut for one in written if one.cut]
    if cut:
        said = f"{len(cut)} of {len(rows)} prompts did not fit the context of {model.model.context} tokens"
        typer.echo(f"{said} with room for the answer: {sum(cut)} tokens were cut from their beginning.", err=True)
    columns["answer"] = [one.text for one in written]
    columns["finish"] = [one.finish for one in written]
    columns["tokens"] = [one.tokens for one in written]
    return columns


def show(columns: dict[str, list[Any]], *, as_json: bool) -> None:
    """JSON lines; else one answer as it is, or several under their prompts."""
    for place, row in enumerate(zip(*columns.values(), strict=True)):
        answer = dict(zip(columns, row, strict=True))
        if as_json:
            typer.echo(json.dumps(answer, ensure_ascii=False))
            continue
        sure = f"\t{answer['probability']:.3f}" if "probability" in answer else ""
        if len(columns["row"]) > 1:
            asked = " ".join(str(answer["prompt"]).split())
            typer.echo(("\n" if place else "") + f"> {asked if len(asked) <= 100 else asked[:99] + '…'}")
        typer.echo(f"{answer['answer']}{sure}")


def show_stream(prompt: Example, model: Opened, settings: Decoding, schema: dict[str, Any] | None) -> None:
    """One answer as it is written."""
    from fewtune.generating import generate_stream

    for piece in generate_stream(model, prompt, settings=settings, schema=schema):
        typer.echo(piece, nl=False)
        sys.stdout.flush()
    typer.echo()
