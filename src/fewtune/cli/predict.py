"""`fewtune predict`: label and probability for texts, a file, or standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fewtune.model_folder import Model


def predict(
    folder: Annotated[Path, typer.Argument(help="What `fewtune fit --out` wrote.")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts, or one file of rows; `-` is standard input.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write CSV, TSV, JSON lines or Parquet, by its ending.")] = None,
    text: Annotated[str | None, typer.Option(help="Text column of the file.")] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="One column a class as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines on standard output.")] = False,
) -> None:
    """Label texts with a fitted model. Rows below the model's abstention threshold are marked, not hidden."""
    from fewtune.model_folder import load

    rows = gather(texts or [], text)
    model = load(folder)
    columns = label(model, rows, probabilities=probabilities)
    if out is not None:
        from fewtune.data.write import write_table

        typer.echo(f"{len(rows)} rows written to {write_table(out, columns)}", err=True)
    else:
        show(columns, as_json=as_json)


def gather(given: list[str], column: str | None) -> list[str]:
    """The texts meant by the arguments: a single existing file is read, `-` or nothing is standard input."""
    from fewtune.data.read import read
    from fewtune.errors import EmptyData

    if given and given != ["-"]:
        if len(given) == 1 and _is_file(given[0]):
            dataset = read(given[0], text=column, labelled=False)
            for note in dataset.notes:
                typer.echo(f"  · {note}", err=True)
            return dataset.texts
        return given
    if not given and sys.stdin.isatty():
        typer.echo("Type one text a line; end with Ctrl-D.", err=True)
    raw = sys.stdin.buffer.read().decode("utf-8", "replace")
    lines = [line for line in raw.splitlines() if line.strip()]
    if not lines:
        raise EmptyData("Standard input has no text.", remedy="Give texts, a file, or lines on standard input.")
    return lines


def _is_file(text: str) -> bool:
    """Whether one argument is meant as a file: it is there, or is one word that ends as files of rows do."""
    from fewtune.data.read import SUFFIXES

    try:
        return Path(text).exists() or (Path(text).suffix.lower() in SUFFIXES and not any(map(str.isspace, text)))
    except (OSError, ValueError):  # a long text is no file name
        return False


def label(model: Model, texts: list[str], *, probabilities: bool) -> dict[str, list[Any]]:
    """Columns of the answer: text, label, probability, and whether it is sure enough where a threshold is known."""
    probs_NC = model.predict_proba(texts)
    best_N = probs_NC.argmax(1)
    columns: dict[str, list[Any]] = {
        "text": texts,
        "label": [model.classes[int(place)] for place in best_N],
        "probability": [round(float(value), 6) for value in probs_NC.max(1)],
    }
    if model.threshold is not None:
        columns["sure"] = [bool(value >= model.threshold) for value in probs_NC.max(1)]
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
            flat = " ".join(str(answer["text"]).split())
            mark = "" if answer.get("sure", True) else "\t(unsure)"
            typer.echo(f"{answer['label']}\t{answer['probability']:.3f}\t{flat}{mark}")
