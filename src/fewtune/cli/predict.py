"""`fewtune predict`: label and probability for texts, a file, or standard input."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtune.cli.given import is_file, read_asked, refuse_input, typed
from fewtune.plural import agreeing, counted

if TYPE_CHECKING:
    from fewtune.model_folder import Model


def predict(
    folder: Annotated[Path, typer.Argument(help="What `fewtune fit --out` wrote.")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts, or one file of rows; `-` is standard input.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write CSV, TSV, JSON lines or Parquet, by its ending.")] = None,
    text: Annotated[str | None, typer.Option(help="Text column of the file.")] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="Column of the file to join to the text; as in the fit when not named.")
    ] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="One column a class as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines on standard output.")] = False,
) -> None:
    """Label texts with a fitted model. Rows below the model's abstention threshold are marked, not hidden."""
    from fewtune.model_folder import load, text_columns

    if out is not None:
        refuse_input(out, texts or [])
    rows = gather(texts or [], text, pair, of_fit=text_columns(folder))
    model = load(folder)
    columns = {**rows.about, **label(model, rows.texts, probabilities=probabilities)}
    if model.threshold is None:
        typer.echo("No confidence was high enough in the fit to be trusted: every row is marked unsure.", err=True)
    if out is not None:
        from fewtune.data.write import write_table

        typer.echo(f"{counted(len(rows.texts), 'row')} written to {write_table(out, columns)}", err=True)
    else:
        show(columns, as_json=as_json)


@dataclass(frozen=True)
class Rows:
    """Texts to label, and the columns that lead back to where they came from."""

    texts: list[str]
    about: dict[str, list[Any]] = field(default_factory=dict)


def gather(
    given: list[str], column: str | None, pair: list[str] | None = None, *, of_fit: tuple[str, ...] = ()
) -> Rows:
    """The texts meant by the arguments: a single existing file is read, `-` or nothing is standard input.

    `of_fit` are the columns of the training file, taken where texts are of several columns and none is named.
    """
    from fewtune.data.checks import listed
    from fewtune.errors import EmptyData, UsageError

    if given and given != ["-"]:
        if len(given) == 1 and is_file(given[0]):
            if len(of_fit) > 1 and not pair:
                column, pair = column or of_fit[0], list(of_fit[1:])
            dataset = read_asked(given[0], text=column, pair=pair)
            numbers, ids = [example.row for example in dataset], [example.id for example in dataset]
            about: dict[str, list[Any]] = {"row": numbers}
            return Rows(dataset.texts, about if ids == list(map(str, numbers)) else {**about, "id": ids})
        for place, text in enumerate(given, 1):
            if not text.strip():
                raise UsageError(f"Text {place} is empty. Give texts, a file, or lines on standard input.")
            if len(given) > 1 and is_file(text, there=True):
                raise UsageError(f"{text} is a file among other texts. Give one file alone, or texts alone.")
        return Rows(given)
    every = typed("" if given else "Type one text a line").splitlines()
    numbers = [number for number, line in enumerate(every, 1) if line.strip()]
    if not numbers:
        raise EmptyData("Standard input has no text.", remedy="Give texts, a file, or lines on standard input.")
    if empty := sorted(set(range(1, len(every) + 1)) - set(numbers)):
        lack = agreeing(len(empty), "has no text and is left out: line", "have no text and are left out: lines")
        note = f"{len(empty)} of {len(every)} lines {lack} {listed(empty)}."
        typer.echo(f"  · {note}", err=True)
    return Rows([every[number - 1] for number in numbers], {"row": list(numbers)})


def label(model: Model, texts: list[str], *, probabilities: bool) -> dict[str, list[Any]]:
    """Columns of the answer: text, label, probability, and whether it is sure enough (never, without a threshold)."""
    probs_NC = model.predict_proba(texts)
    best_N = probs_NC.argmax(1)
    columns: dict[str, list[Any]] = {
        "text": texts,
        "label": [model.classes[int(place)] for place in best_N],
        "probability": [round(float(value), 6) for value in probs_NC.max(1)],
    }
    sure_from = 2.0 if model.threshold is None else model.threshold
    columns["sure"] = [bool(value >= sure_from) for value in probs_NC.max(1)]
    if probabilities:
        for place, name in enumerate(model.classes):
            columns[f"p({name})"] = [round(float(value), 6) for value in probs_NC[:, place]]
    return columns


def show(columns: dict[str, list[Any]], *, as_json: bool) -> None:
    """JSON lines, or tab-separated label, probability, text for people and pipes."""
    for row in zip(*columns.values(), strict=True):
        answer = dict(zip(columns, row, strict=True))
        if as_json:
            typer.echo(json.dumps(answer, ensure_ascii=False))
        else:
            name, flat = (" ".join(str(answer[key]).split()) for key in ("label", "text"))
            mark = "" if answer["sure"] else "\t(unsure)"
            typer.echo(f"{name}\t{answer['probability']:.3f}\t{flat}{mark}")
